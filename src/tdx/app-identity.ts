/** The identity of the app as a verifier derives it from an attestation (dstack measurement, decode_app_info). */

import { fromHex, toHex } from '../codec/hex.ts';
import { sha256 } from '../crypto/hash.ts';
import { DstackError } from '../errors.ts';
import type { Attestation } from './attestation.ts';
import { bootEvents, EVENT, type RuntimeEvent } from './events.ts';
import { pcr, replayPcr14, snpIdentity } from './identity-platforms.ts';
import { parseQuote, type TdQuoteBody } from './quote-layout.ts';
import { replayRuntime } from './replay.ts';

export interface AppInfo {
  readonly appId: Uint8Array;
  readonly composeHash: Uint8Array;
  readonly instanceId: Uint8Array;
  /** SHA-256; of nothing as long as the quote was not verified */
  readonly deviceId: Uint8Array;
  readonly mrSystem: Uint8Array;
  readonly mrAggregated: Uint8Array;
  readonly osImageHash: Uint8Array;
  /** JSON text as bytes: `{"name":..,"id":..}` */
  readonly keyProviderInfo: Uint8Array;
  readonly initScriptHashes: readonly Uint8Array[];
}

export interface IdentityOptions {
  /** look at the state of `boot-mr-done`: no key provider yet, registers up to there */
  readonly boottime?: boolean;
  /** vm_config text that replaces the one in the attestation when it is not empty */
  readonly vmConfig?: string;
  /** look for vm_config inside an old style configuration text, default true */
  readonly unwrap?: boolean;
}

/**
 * Derives the identity from an attestation of a TDX guest (dstack or Google Cloud) or a SEV-SNP guest, without verifying
 * anything.
 * @throws ATTESTATION_INVALID (AWS platforms are not read), QUOTE_INVALID
 */
export function decodeAppInfo(attestation: Attestation, options: IdentityOptions = {}): AppInfo {
  const { platform } = attestation;
  const imageHash = () => osImageHash(options.vmConfig || attestation.config, options.unwrap ?? true);
  switch (platform.kind) {
    case 'sev-snp':
      return { ...snpIdentity(platform.report, platform.mrConfig), osImageHash: imageHash() };
    case 'tdx':
    case 'gcp-tdx':
      break;
    default:
      throw new DstackError('ATTESTATION_INVALID', `identity of platform ${platform.kind} is not supported`, {
        field: 'platform',
        value: platform.kind,
      });
  }
  const events = bootEvents(attestation.runtimeEvents);
  const find = (name: string): Uint8Array => events.find(({ event }) => event === name)?.payload ?? new Uint8Array();
  const keyProviderInfo = options.boottime ? new Uint8Array() : find(EVENT.keyProvider);
  const mrKeyProvider = keyProviderInfo.length === 0 ? new Uint8Array(32) : sha256(keyProviderInfo);
  const upTo = options.boottime ? EVENT.bootMrDone : undefined;
  const hash = imageHash();
  return {
    appId: find(EVENT.appId),
    composeHash: find(EVENT.composeHash),
    instanceId: find(EVENT.instanceId),
    deviceId: sha256(),
    ...(platform.kind === 'tdx'
      ? tdxRegisters(platform.quote, attestation.runtimeEvents, mrKeyProvider, upTo)
      : {
          mrSystem: sha256(hash, mrKeyProvider),
          mrAggregated: sha256(
            pcr(platform.tpmQuote, 0),
            pcr(platform.tpmQuote, 2),
            replayPcr14(attestation.runtimeEvents, upTo),
          ),
        }),
    osImageHash: hash,
    keyProviderInfo,
    initScriptHashes: events.filter(({ event }) => event === EVENT.initScriptHash).map(({ payload }) => payload),
  };
}

function tdxRegisters(
  quote: Uint8Array,
  events: readonly RuntimeEvent[],
  mrKeyProvider: Uint8Array,
  upTo: string | undefined,
): Pick<AppInfo, 'mrSystem' | 'mrAggregated'> {
  const { body } = parseQuote(quote);
  const boot = [body.mrtd, body.rtmrs[0], body.rtmrs[1], body.rtmrs[2]];
  const rtmr3 = replayRuntime(events, upTo === undefined ? {} : { upTo });
  return {
    mrSystem: sha256(...boot, mrKeyProvider),
    mrAggregated: sha256(...boot, rtmr3, ...configRegisters(body)),
  };
}

/** The three configuration registers count only if at least one of them is in use. */
function configRegisters(body: TdQuoteBody): Uint8Array[] {
  const all = [body.mrConfigId, body.mrOwner, body.mrOwnerConfig];
  return all.some((register) => register.some((byte) => byte !== 0)) ? all : [];
}

/** `os_image_hash` of the vm_config text; empty when there is none. @throws ATTESTATION_INVALID */
function osImageHash(text: string, unwrap: boolean): Uint8Array {
  let config = parseObject(text === '' ? '{}' : text);
  // older guests put the whole system configuration here, with the vm_config text inside
  if (unwrap && typeof config['vm_config'] === 'string') config = parseObject(config['vm_config'] || '{}');
  const hash = config['os_image_hash'] ?? '';
  if (typeof hash !== 'string') throw badConfig('os_image_hash is not text');
  try {
    return fromHex(hash);
  } catch (thrown) {
    throw badConfig('os_image_hash is not hex', thrown);
  }
}

function badConfig(why: string, cause?: unknown): DstackError {
  return new DstackError('ATTESTATION_INVALID', `vm_config of the attestation: ${why}`, { field: 'vm_config', cause });
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    throw badConfig('it is not JSON', thrown);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw badConfig('it is not an object');
  return value as Record<string, unknown>;
}

/** The JSON form of the `show` command: everything hex. */
export function appInfoJson(info: AppInfo): Record<string, string | string[]> {
  return {
    app_id: toHex(info.appId),
    compose_hash: toHex(info.composeHash),
    instance_id: toHex(info.instanceId),
    device_id: toHex(info.deviceId),
    mr_system: toHex(info.mrSystem),
    mr_aggregated: toHex(info.mrAggregated),
    os_image_hash: toHex(info.osImageHash),
    key_provider_info: toHex(info.keyProviderInfo),
    init_script_hashes: info.initScriptHashes.map(toHex),
  };
}
