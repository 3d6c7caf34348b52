/**
 * `npm run bench -- kms [runs]`: how long a guest waits for its keys, against a `dstack-sim kms` process on this machine.
 * One request is everything: the temporary CA, a fresh key, evidence over it (a simulated quote: the time of a real one is
 * the hardware's), its certificate, mutual TLS, evidence of the KMS with collateral over HTTP, the keys. Prints; never judges.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ensureBinaries } from '../initramfs/vm/dev-image.ts';
import { beforeKeys, evidence, paperEvents } from '../simulator/canned-evidence.ts';
import { serveCollateral } from '../simulator/collateral-service.ts';
import { DEVELOPMENT_SEED } from '../simulator/mock-keys.ts';
import { mockPki } from '../simulator/pki.ts';
import { publishTrustAnchors } from '../simulator/trust-anchors.ts';
import { fromHex } from '../src/codec/hex.ts';
import { parseAppCompose } from '../src/config/app-compose.ts';
import { requestAppKeys } from '../src/net/kms-client.ts';
import { KMS_USAGE } from '../src/net/ra-tls-client.ts';
import { duration } from '../src/ui.ts';
import { options } from './options.ts';

const BUDGET_MS = 150;

function row(name: string, times: readonly number[], budget?: number): void {
  const sorted = [...times].sort((a, b) => a - b);
  const median = sorted[sorted.length >> 1] ?? 0;
  const limit = budget === undefined ? '' : `budget ${duration(budget)}`;
  const spread = `${duration(sorted[0] ?? 0)} to ${duration(sorted.at(-1) ?? 0)}`;
  console.log(`  ${name.padEnd(44)} ${duration(median).padStart(10)}   ${limit.padEnd(14)} ${spread}`);
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** CPU time of this process in milliseconds: what a busy machine does not change. */
const cpu = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** The service as a process of its own, on a free port. */
async function startKms(sim: string, ...options: string[]) {
  const args = ['kms', '--listen', '127.0.0.1:0', '--allow-any', ...options];
  const child = spawn(sim, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const lines = createInterface({ input: child.stdout });
  const url = await new Promise<string>((resolve) => {
    lines.once('line', (line) => resolve((JSON.parse(line) as { url: string }).url));
  });
  return { url, stop: () => child.kill() };
}

async function main(runs: number): Promise<void> {
  const { sim } = await ensureBinaries();
  const pki = mockPki(fromHex(DEVELOPMENT_SEED));
  const document = { manifest_version: 2, name: 'bench', runner: 'bash', key_provider: 'kms' };
  const compose = parseAppCompose(Buffer.from(JSON.stringify(document)));
  const events = beforeKeys(paperEvents(compose, new Uint8Array(32), 1));
  const dir = await mkdtemp(join(tmpdir(), 'kms-bench-'));
  const anchorDir = join(dir, 'attestation');
  await publishTrustAnchors(pki, anchorDir);
  const collateral = await serveCollateral(pki);
  const attest = async (reportData: Uint8Array) => evidence(pki, events, reportData, '{}');
  const ask = (url: string) =>
    requestAppKeys({
      urls: [url],
      vmConfig: '{}',
      attest,
      usage: KMS_USAGE,
      evidenceRules: { pccs: collateral.url, anchorDir },
    });
  const used: number[] = [];
  const repeat = async (work: () => Promise<unknown>) => {
    const times: number[] = [];
    for (let i = 0; i < runs; i++) {
      const before = cpu();
      times.push(await timed(work));
      used.push(cpu() - before);
    }
    return times;
  };
  const [attested, plain] = [await startKms(sim), await startKms(sim, '--no-quote')];
  try {
    console.log(`keys of an app from dstack-sim kms on this machine, median of ${runs}`);
    row('the first request of both processes', [await timed(() => ask(attested.url))]);
    row('complete request', await repeat(() => ask(attested.url)), BUDGET_MS);
    row('of it: CPU time of the guest and of collateral', used.splice(0));
    row('complete request, KMS without evidence', await repeat(() => ask(plain.url)), BUDGET_MS);
    row('of it: making the simulated quote', await repeat(() => attest(new Uint8Array(64))));
  } finally {
    attested.stop();
    plain.stop();
    await collateral.close();
    await rm(dir, { recursive: true, force: true });
  }
}

await main(options().runs ?? 30);
