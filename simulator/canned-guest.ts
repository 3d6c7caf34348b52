/**
 * The files of a guest that exists on paper only: keys, documents and evidence that agree with each other. The guest
 * agent answers from them on any machine (dstack simulators, guest agent simulator). Keys and registers depend on the
 * seed and the compose file alone.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { toHex } from '../src/codec/hex.ts';
import { type AppCompose, parseAppCompose } from '../src/config/app-compose.ts';
import { type AppKeys, formatAppKeys } from '../src/config/app-keys.ts';
import { keysFromSeed } from '../src/keys/app-keys.ts';
import { localCaCert } from '../src/keys/ca-cert.ts';
import { deriveKey, utf8Part } from '../src/keys/derive.ts';
import { certReportData } from '../src/keys/report-data.ts';
import { compressedPublicKey, keccak256, signRecoverable } from '../src/keys/secp256k1.ts';
import { type Attestation, encodeVersioned, strip, tdxEventLog, tdxQuote } from '../src/tdx/attestation.ts';
import { parseCcel } from '../src/tdx/ccel.ts';
import { EVENT, type EventVersion, type RuntimeEvent } from '../src/tdx/events.ts';
import { fullLogJson } from '../src/tdx/log-json.ts';
import { replay, replayRuntime } from '../src/tdx/replay.ts';
import { toTdxEvent, withPreimage } from '../src/tdx/tdx-event.ts';
import { concat } from './der.ts';
import { mockCcel } from './mock-ccel.ts';
import { mockQuote } from './mock-quote.ts';
import { type MockPki, mockPki } from './pki.ts';
import { MOCK_MRTD } from './quoting-enclave.ts';

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

const sha256 = (...parts: readonly (Uint8Array | string)[]): Uint8Array => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
};

/** What the setup of this guest would have measured, in its order; the instance id depends on the seed. */
export function paperEvents(compose: AppCompose, seed: Uint8Array, version: EventVersion): RuntimeEvent[] {
  const appId = compose.composeHash.subarray(0, 20);
  const instanceId = sha256(sha256('dstack-sim instance', seed).subarray(0, 20), appId).subarray(0, 20);
  const steps: [string, Uint8Array | string][] = [
    [EVENT.systemPreparing, ''],
    [EVENT.appId, appId],
    [EVENT.composeHash, compose.composeHash],
    ...compose.initScripts.map((script): [string, Uint8Array] => [EVENT.initScriptHash, sha256(script)]),
    [EVENT.gpuPolicyHash, compose.gpuPolicyHash],
    [EVENT.instanceId, compose.noInstanceId ? '' : instanceId],
    [EVENT.bootMrDone, ''],
    [EVENT.keyProvider, '{"name":"none","id":""}'],
    [EVENT.storageFs, compose.storageFs ?? 'zfs'],
    [EVENT.systemReady, ''],
  ];
  return steps.map(([event, payload]) => ({
    event,
    payload: Uint8Array.from(Buffer.from(payload)),
    version,
  }));
}

/** Evidence of the guest after these events. */
function evidence(pki: MockPki, events: RuntimeEvent[], reportData: Uint8Array, config: string): Attestation {
  const firmware = parseCcel(mockCcel());
  const rtmrs = [replay(firmware, 0), replay(firmware, 1), replay(firmware, 2), replayRuntime(events)];
  return {
    platform: {
      kind: 'tdx',
      quote: mockQuote(pki, { mrtd: MOCK_MRTD, rtmrs, reportData }),
      eventLog: [...firmware, ...events.map(toTdxEvent).map(withPreimage)],
    },
    reportData,
    runtimeEvents: events,
    config,
  };
}

/** Keys of provider none, but with the two members that only a KMS gives, so that clients can check the whole chain. */
async function appKeys(pki: MockPki, events: RuntimeEvent[], config: string, options: CannedOptions): Promise<AppKeys> {
  const { appKey, ...keys } = keysFromSeed(sha256('dstack-sim app keys', options.seed), { kind: 'none' });
  const appId = events.find(({ event }) => event === EVENT.appId)?.payload ?? new Uint8Array();
  const issued = concat(Buffer.from('dstack-kms-issued:'), appId, compressedPublicKey(keys.k256Key));
  const kmsRoot = deriveKey(options.seed, [utf8Part('dstack-sim kms root')], 32);
  // the certificate is made before the key provider is measured
  const early = events.slice(0, events.findIndex(({ event }) => event === EVENT.bootMrDone) + 1);
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
