/**
 * The files of a guest that exists on paper only: keys, documents and evidence that agree with each other. The guest
 * agent answers from them on any machine (dstack simulators, guest agent simulator). Keys and registers depend on the
 * seed and the compose file alone.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { concat } from '../src/codec/bytes.ts';
import { toHex } from '../src/codec/hex.ts';
import { parseAppCompose } from '../src/config/app-compose.ts';
import { type AppKeys, formatAppKeys } from '../src/config/app-keys.ts';
import { localCaCert } from '../src/keys/ca-cert.ts';
import { deriveKey, utf8Part } from '../src/keys/derive.ts';
import { certReportData } from '../src/keys/report-data.ts';
import { compressedPublicKey, keccak256, signRecoverable } from '../src/keys/secp256k1.ts';
import { keysFromSeed } from '../src/keys/seed-keys.ts';
import { encodeVersioned, strip, tdxEventLog, tdxQuote } from '../src/tdx/attestation.ts';
import { EVENT, type EventVersion, type RuntimeEvent } from '../src/tdx/events.ts';
import { fullLogJson } from '../src/tdx/log-json.ts';
import { beforeKeys, evidence, paperEvents, sha256 } from './canned-evidence.ts';
import { type MockPki, mockPki } from './pki.ts';

const SAMPLE_COMPOSE = {
  manifest_version: 2,
  name: 'dstack-sim',
  runner: 'docker-compose',
  docker_compose_file: 'services:\n  demo:\n    image: demo:local\n',
  public_logs: true,
  public_sysinfo: true,
  public_tcbinfo: true,
  key_provider: 'none',
  storage_fs: 'ext4',
};

const AGENT_CONFIG = `# The guest agent answers from canned evidence: for development only.
[default]
ident = "dstack Simulator"

[default.core]
keys_file = "appkeys.json"
compose_file = "app-compose.json"
sys_config_file = "sys-config.json"

[default.core.simulator]
enabled = true
attestation_file = "attestation.bin"
patch_report_data = true

[internal-v0]
address = "unix:./tappd.sock"
reuse = true

[internal]
address = "unix:./dstack.sock"
reuse = true

[external]
address = "unix:./external.sock"
reuse = true

[guest-api]
address = "unix:./guest.sock"
reuse = true
`;

export interface CannedOptions {
  readonly seed: Uint8Array;
  readonly dir: string;
  /** app-compose.json to measure, default a small sample */
  readonly composeFile?: string;
  /** digest form of the runtime events: 1 gives a V0 attestation, 2 a V1 one */
  readonly eventVersion: EventVersion;
}

/** Keys of provider none, but with the two members that only a KMS gives, so that clients can check the whole chain. */
async function appKeys(pki: MockPki, events: RuntimeEvent[], config: string, options: CannedOptions): Promise<AppKeys> {
  const { appKey, ...keys } = keysFromSeed(sha256('dstack-sim app keys', options.seed), { kind: 'none' });
  const appId = events.find(({ event }) => event === EVENT.appId)?.payload ?? new Uint8Array();
  const issued = concat(Buffer.from('dstack-kms-issued:'), appId, compressedPublicKey(keys.k256Key));
  const kmsRoot = deriveKey(options.seed, [utf8Part('dstack-sim kms root')], 32);
  // the certificate is made before the key provider is measured
  const early = beforeKeys(events);
  const attestation = evidence(pki, early, certReportData(appKey.spkiDer), config);
  return {
    ...keys,
    k256Signature: signRecoverable(kmsRoot, keccak256(issued)),
    gatewayAppId: 'any',
    caCert: await localCaCert({ appKey, attestation: encodeVersioned(strip(attestation)) }),
  };
}

/** Writes the files into a folder, which is made if need be. @returns their names */
export async function writeCannedGuest(options: CannedOptions): Promise<string[]> {
  const pki = mockPki(options.seed);
  const raw = options.composeFile
    ? new Uint8Array(await readFile(options.composeFile))
    : new Uint8Array(Buffer.from(JSON.stringify(SAMPLE_COMPOSE)));
  const compose = parseAppCompose(raw, options.composeFile);
  const vmConfig = JSON.stringify({
    os_image_hash: toHex(sha256('dstack-sim os image')),
    cpu_count: 2,
    memory_size: 2_147_483_648,
  });
  const sysConfig = { kms_urls: [], gateway_urls: [], pccs_url: '', docker_registry: '', vm_config: vmConfig };
  const events = paperEvents(compose, options.seed, options.eventVersion);
  const attestation = evidence(pki, events, new Uint8Array(64), vmConfig);
  const files: Record<string, Uint8Array | string> = {
    'appkeys.json': formatAppKeys(await appKeys(pki, events, vmConfig, options), true),
    'app-compose.json': raw,
    'sys-config.json': JSON.stringify(sysConfig, null, 2),
    'attestation.bin': encodeVersioned(attestation),
    'quote.bin': tdxQuote(attestation),
    'event_log.json': JSON.stringify(fullLogJson(tdxEventLog(attestation), { preimages: true }), null, 2),
    'dstack.toml': AGENT_CONFIG,
  };
  await mkdir(options.dir, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(options.dir, name), content, { mode: name === 'appkeys.json' ? 0o600 : 0o644 });
  }
  return Object.keys(files);
}
