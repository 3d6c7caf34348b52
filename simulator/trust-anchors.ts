/**
 * Tells the guest in this VM to believe the simulator: its root certificate in the place where verifiers look for one
 * before they take Intel's (dstack simulators, trust anchors). Only the simulated platform of a dev image does this.
 */
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writeAtomic } from '../src/sys/files.ts';
import { type MockPki, pemChain } from './pki.ts';

const ROOT_FILE = 'tdx-root-ca.pem';

/** Writes the root, then the list that names it: readers look for the list. Owner only, as readers demand. */
export async function publishTrustAnchors(pki: MockPki, dir = '/run/dstack/attestation'): Promise<void> {
  await mkdir(dirname(dir), { recursive: true });
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const path = join(dir, ROOT_FILE);
  await writeAtomic(path, pemChain(pki.root), 0o600);
  await writeAtomic(join(dir, 'roots.json'), `${JSON.stringify({ tdx: path }, null, 2)}\n`, 0o600);
}
