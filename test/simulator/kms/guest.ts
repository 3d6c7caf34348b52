/** A guest on paper that asks a KMS: its app, its evidence, and the KMS that believes it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeKeys, bootEvents, evidence, instanceOf } from '../../../simulator/canned-evidence.ts';
import type { Policy } from '../../../simulator/kms/policy.ts';
import { freshRoots } from '../../../simulator/kms/roots.ts';
import { Kms, type KmsOptions } from '../../../simulator/kms/server.ts';
import { DEVELOPMENT_SEED } from '../../../simulator/mock-keys.ts';
import { mockPki } from '../../../simulator/pki.ts';
import { fromHex, toHex } from '../../../src/codec/hex.ts';
import { parseAppCompose } from '../../../src/config/app-compose.ts';
import type { Attestation } from '../../../src/tdx/attestation.ts';

export const pki = mockPki(fromHex(DEVELOPMENT_SEED));
export const VM_CONFIG = JSON.stringify({ os_image_hash: 'ab'.repeat(32), cpu_count: 2 });

export interface Guest {
  /** hex */
  readonly appId: string;
  readonly composeHash: string;
  readonly instanceId: Uint8Array;
  attest(reportData: Uint8Array): Promise<Attestation>;
}

/** A guest that has measured its app and asks for keys now. */
export function guest(app: Record<string, unknown> = {}, options: { version?: 1 | 2; instance?: number } = {}): Guest {
  const document = { manifest_version: 2, name: 'paper', runner: 'bash', key_provider: 'kms', ...app };
  const compose = parseAppCompose(Buffer.from(JSON.stringify(document)));
  const instanceId = instanceOf(compose, new Uint8Array(32).fill(options.instance ?? 0));
  const events = beforeKeys(bootEvents(compose, options.version ?? 1, instanceId));
  return {
    appId: toHex(compose.composeHash.subarray(0, 20)),
    composeHash: toHex(compose.composeHash),
    instanceId,
    attest: async (reportData) => evidence(pki, events, reportData, VM_CONFIG),
  };
}

export const ANY: Policy = { apps: new Set(), composeHashes: new Set(), any: true };

/** A KMS on the loopback interface. @param port any free one unless told */
export async function startKms(options: Partial<KmsOptions> = {}, port = 0): Promise<Kms> {
  const roots = options.roots ?? (await freshRoots());
  const defaults = { pki, policy: ANY, gatewayAppId: '', domain: '127.0.0.1' };
  return Kms.start({ ...defaults, ...options, roots }, { host: '127.0.0.1', port });
}

/** A folder that is removed by `remove`. */
export function temporaryFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'kms-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
