/** Key provider kms: keys from a key management service that has judged the evidence of this guest. */
import { HOST_SHARED } from '../../config/paths.ts';
import { DstackError } from '../../errors.ts';
import { loadKmsClient, type PeerPlatform } from '../../net/net.ts';
import { EVENT } from '../../tdx/events.ts';
import * as ui from '../../ui.ts';
import type { KeyProvider } from './provider.ts';

/** a failed boot costs more than this, and it would start from here again */
const RETRY_MS = 60_000;

const platformOf = (platform: PeerPlatform | undefined): string =>
  platform === undefined
    ? 'the KMS shows no evidence of its platform'
    : `the platform of the KMS is ${[platform.status, ...platform.advisories].join(' ')}`;

export const kms: KeyProvider = {
  kind: 'kms',
  async check({ sysConfig: { kmsUrls } }) {
    if (kmsUrls.length > 0) return;
    throw new DstackError('KMS_URLS_MISSING', 'no KMS URLs are set', {
      path: HOST_SHARED.sysConfig,
      field: 'kms_urls',
    });
  },
  async obtain({ attest, measure, sysConfig, pause, peerTcb, note }) {
    const { KMS_USAGE, requestAppKeys } = await loadKmsClient();
    return requestAppKeys({
      urls: sysConfig.kmsUrls,
      vmConfig: sysConfig.vmConfig,
      attest,
      usage: KMS_USAGE,
      evidenceRules: {
        pccs: sysConfig.pccsUrl,
        allowed: peerTcb,
        onJudged: (platform) => note(platformOf(platform)),
      },
      retryForMs: RETRY_MS,
      pause,
      onPause: (ms) => ui.warn(`no KMS can be reached: trying again in ${ui.duration(ms)}`),
      // what the KMS made of this image is evidence too: measured before its keys are used
      onIssued: ({ osImageHash }) => measure(EVENT.osImageHash, osImageHash),
    });
  },
};
