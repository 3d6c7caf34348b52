/** The runtime of the product on both ends: its TLS differs from Node's. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { issueKeys } from '../../simulator/kms/derive.ts';
import { freshRoots } from '../../simulator/kms/roots.ts';
import type { Kms, KmsOptions } from '../../simulator/kms/server.ts';
import { fromHex } from '../../src/codec/hex.ts';
import { requestAppKeys } from '../../src/net/kms-client.ts';
import { KMS_USAGE } from '../../src/net/ra-tls-client.ts';
import { rejection } from '../failure.ts';
import { guest, startKms, VM_CONFIG } from '../simulator/kms/guest.ts';
import { simulatedTrust } from './kms-process.ts';

const app = guest();
let trust: Awaited<ReturnType<typeof simulatedTrust>>;
let kms: Kms | undefined;
beforeAll(async () => {
  trust = await simulatedTrust();
});
afterAll(async () => {
  await kms?.close();
  await trust?.end();
});

async function ask(options: Partial<KmsOptions>, changes: { timeoutMs?: number } = {}) {
  await kms?.close();
  kms = await startKms(options);
  return requestAppKeys({
    urls: [`https://127.0.0.1:${kms.port}`],
    vmConfig: VM_CONFIG,
    attest: app.attest,
    usage: KMS_USAGE,
    evidenceRules: trust.rules,
    ...changes,
  });
}

describe.runIf('Bun' in globalThis)('a KMS under Bun', () => {
  it('gives keys to a client under Bun', async () => {
    const roots = await freshRoots();
    const keys = await ask({ roots });
    expect(keys).toMatchObject(issueKeys(roots, fromHex(app.appId), app.instanceId));
  });

  it.each([
    ['refuses', { policy: { apps: new Set<string>(), composeHashes: new Set<string>() } }, 'KMS_REFUSED'],
    ['has another root', { faults: { wrongCert: true } }, 'CERT_UNTRUSTED'],
    ['is for something else', { faults: { wrongUsage: true } }, 'CERT_USAGE_WRONG'],
    ['shows a changed quote', { faults: { badQuote: true } }, 'EVIDENCE_INVALID'],
    ['has another name', { domain: 'kms.example' }, 'CERT_NAME_MISMATCH'],
    ['dies in the middle', { faults: { failAfter: 1 } }, 'KMS_UNREACHABLE'],
    ['is slow', { faults: { delay: 20_000 } }, 'KMS_TIMEOUT'],
  ])('that %s is told apart', async (_, options, code) => {
    const refused = await rejection(ask(options, code === 'KMS_TIMEOUT' ? { timeoutMs: 1000 } : {}));
    expect(refused.code).toBe(code);
  });
});
