/** The mock PKI as files, and what of it people look at. */
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { toHex } from '../src/codec/hex.ts';
import { toPem } from '../src/x509/x509.ts';
import { type MockPki, mockPki, pckChain, pemChain } from './pki.ts';

const CERTIFICATES = ['root', 'pckCa', 'pck', 'tcb', 'qe'] as const satisfies readonly (keyof MockPki)[];
const NAMES = {
  root: 'tdx-root-ca',
  pckCa: 'tdx-pck-ca',
  pck: 'tdx-pck',
  tcb: 'tdx-tcb-signer',
  qe: 'tdx-qe-signer',
} as const;

/** SHA-256 of each certificate's DER form by file name. */
export function fingerprints(pki: MockPki): Record<string, string> {
  const of = (der: Uint8Array) => createHash('sha256').update(der).digest('hex');
  return Object.fromEntries(CERTIFICATES.map((key) => [NAMES[key], of(pki[key])]));
}

/**
 * Writes certificates, CRLs, a manifest and the document with which a guest simulator gets the same seed
 * (dstack simulators, `generate`). @returns names of the files
 */
export async function writePki(seed: Uint8Array, dir: string, collateralUrl: string): Promise<string[]> {
  const pki = mockPki(seed);
  const files: Record<string, string> = {
    ...Object.fromEntries(CERTIFICATES.map((key) => [`${NAMES[key]}.pem`, pemChain(pki[key])])),
    'tdx-pck-chain.pem': pckChain(pki),
    'tdx-root.crl': toPem('X509 CRL', pki.rootCrl),
    'tdx-pck.crl': toPem('X509 CRL', pki.pckCrl),
  };
  files['manifest.json'] = `${JSON.stringify({ version: 1, tdx: 'tdx-root-ca.pem' }, null, 2)}\n`;
  const simulator = { platform: 'dstack-tdx', mock_attestation_seed: toHex(seed), collateral_base_url: collateralUrl };
  files['tee-simulator.json'] = `${JSON.stringify(simulator, null, 2)}\n`;
  await mkdir(dir, { recursive: true });
  // the seed is as good as every key of this PKI
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(dir, name), text, { mode: name === 'tee-simulator.json' ? 0o600 : 0o644 });
  }
  return Object.keys(files);
}
