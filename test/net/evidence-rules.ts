import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { serveCollateral } from '../../simulator/collateral-service.ts';
import type { TcbOptions } from '../../simulator/mock-collateral.ts';
import type { MockPki } from '../../simulator/pki.ts';
import { publishTrustAnchors } from '../../simulator/trust-anchors.ts';
import type { PeerRules } from '../../src/net/ra-tls-client.ts';

type EvidenceRules = NonNullable<PeerRules['evidenceRules']>;

/** For all tests of a file: collateral of this PKI on loopback, and a folder of trust anchors that names its root. */
export function evidenceRulesFor(
  pki: MockPki,
  tcb: TcbOptions = {},
): () => EvidenceRules & { readonly anchorDir: string } {
  let rules: EvidenceRules & { readonly anchorDir: string };
  let stop: () => Promise<void>;
  beforeAll(async () => {
    const collateral = await serveCollateral(pki, 0, '127.0.0.1', tcb);
    const anchorDir = await mkdtemp(join(tmpdir(), 'anchors-'));
    await publishTrustAnchors(pki, anchorDir);
    rules = { pccs: collateral.url, anchorDir };
    stop = async () => {
      await collateral.close();
      await rm(anchorDir, { recursive: true });
    };
  });
  afterAll(() => stop());
  return () => rules;
}
