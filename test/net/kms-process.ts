/** A real `dstack-sim kms` process on the loopback interface, and what a guest needs to believe it. */
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { type CollateralService, serveCollateral } from '../../simulator/collateral-service.ts';
import type { KmsOptions, KmsRequest } from '../../simulator/kms/server.ts';
import { publishTrustAnchors } from '../../simulator/trust-anchors.ts';
import type { EvidenceRules } from '../../src/net/peer-evidence.ts';
import { pki, startKms, temporaryFolder } from '../simulator/kms/guest.ts';

const BUN = resolve('node_modules/@oven/bun-linux-x64-baseline/bin/bun');

export interface RunningKms {
  readonly url: string;
  /** answered requests so far */
  readonly requests: readonly KmsRequest[];
  stop(): Promise<void>;
}

export interface KmsProcess extends RunningKms {
  /** hex */
  readonly rootCaPubkey: string;
  readonly k256Pubkey: string;
}

/** The same service inside this process: it starts sooner. */
export async function runKms(options: Partial<KmsOptions> = {}, port = 0): Promise<RunningKms> {
  const kms = await startKms(options, port);
  const requests: KmsRequest[] = [];
  kms.on('request', (request) => requests.push(request));
  return { url: `https://127.0.0.1:${kms.port}`, requests, stop: () => kms.close() };
}

/** Starts the service on a free port; ready when this returns. */
export async function spawnKms(...options: string[]): Promise<KmsProcess> {
  const args = ['simulator/dstack-sim.ts', 'kms', '--listen', '127.0.0.1:0', ...options];
  const child = spawn(BUN, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (text: Uint8Array) => {
    complaint += String(text);
  });
  const ended = new Promise<void>((done) => child.once('close', () => done()));
  const lines = createInterface({ input: child.stdout });
  const requests: KmsRequest[] = [];
  const first = await new Promise<Record<string, string>>((ready, fail) => {
    lines.once('line', (line) => {
      lines.on('line', (next) => requests.push(JSON.parse(next)));
      ready(JSON.parse(line));
    });
    void ended.then(() => fail(new Error(`dstack-sim kms has ended: ${complaint}`)));
  });
  return {
    url: first['url'] ?? '',
    rootCaPubkey: first['root_ca_pubkey'] ?? '',
    k256Pubkey: first['k256_pubkey'] ?? '',
    requests,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** Collateral and trust anchors of the simulated platform, as a development VM has them. */
export async function simulatedTrust(): Promise<{
  rules: EvidenceRules;
  service: CollateralService;
  end(): Promise<void>;
}> {
  const folder = temporaryFolder();
  const anchorDir = `${folder.path}/attestation`;
  await publishTrustAnchors(pki, anchorDir);
  const service = await serveCollateral(pki);
  return {
    rules: { pccs: service.url, anchorDir },
    service,
    end: async () => {
      await service.close();
      folder.remove();
    },
  };
}
