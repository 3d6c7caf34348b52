/** The ways to have evidence judged: the program, and the built library in each engine. All answer the report as JSON. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { EvidenceFixture } from './fixtures.ts';
import type { Call } from './run-all.mjs';

const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';

/** The arguments of `dstack-util verify` for a fixture, with its files in an empty folder. */
function argumentsOf({ evidence, demands }: EvidenceFixture, dir: string): string[] {
  mkdirSync(dir, { recursive: true });
  const put = (name: string, content: Uint8Array | string | object): string => {
    const path = join(dir, name);
    const plain = typeof content === 'string' || content instanceof Uint8Array;
    writeFileSync(path, plain ? content : JSON.stringify(content));
    return path;
  };
  const args = ['verify', put('evidence', evidence), '--json', '--at', demands.at];
  args.push('--collateral', put('collateral.json', demands.collateral as object));
  if (demands.root !== undefined) args.push('--root-ca', put('root.pem', demands.root));
  for (const pin of demands.expect ?? []) args.push('--expect', pin);
  for (const status of demands.allowTcb ?? []) args.push('--allow-tcb', status);
  if (demands.prediction !== undefined) args.push('--expect-measure', put('prediction.json', demands.prediction));
  if (demands.expectations !== undefined) args.push('--expect-file', put('expectations.json', demands.expectations));
  if (demands.eventLog !== undefined) args.push('--event-log', put('log.json', demands.eventLog));
  if (demands.vmConfig !== undefined) args.push('--vm-config', put('vm.json', demands.vmConfig));
  if (demands.anyApp) args.push('--any-app');
  if (demands.allowUnencryptedStorage) args.push('--allow-unencrypted-storage');
  if (demands.measurement !== undefined) {
    args.push('--image-measurement', put('measurement.cbor', demands.measurement.document));
    args.push('--checksum-file', put('sha256sum.txt', demands.measurement.checksums));
  }
  if (demands.image !== undefined) {
    mkdirSync(join(dir, 'image'), { recursive: true });
    for (const [name, bytes] of Object.entries(demands.image)) put(join('image', name), bytes);
    args.push('--image', join(dir, 'image'));
  }
  return args;
}

/** A report of the program with what the library says where the program names its files. */
function withoutPaths(report: string, dir: string): string {
  const text = report
    .replaceAll(join(dir, 'collateral.json'), 'collateral as given')
    .replaceAll(join(dir, 'prediction.json'), 'as given')
    .replaceAll(join(dir, 'expectations.json'), 'expectations as given')
    .replaceAll(join(dir, 'measurement.cbor'), 'as given')
    .replaceAll(join(dir, 'image'), 'as given');
  return JSON.stringify(JSON.parse(text));
}

/** The reports of `dstack-util verify --json`. @param dir an empty folder */
export async function programReports(fixtures: readonly EvidenceFixture[], dir: string): Promise<string[]> {
  const folders = fixtures.map((_, index) => join(resolve(dir), String(index)));
  const lists = fixtures.map((fixture, index) => argumentsOf(fixture, folders[index] ?? ''));
  const printed = await answersOf([BUN, 'test/verify-library/program.ts'], lists);
  return printed.map((text, index) => withoutPaths(text, folders[index] ?? ''));
}

/** Gives a program its questions as JSON and takes its answers, from a file: a pipe may be full. */
async function answersOf(words: readonly string[], questions: unknown): Promise<string[]> {
  const dir = mkdtempSync(join(tmpdir(), 'answers-'));
  const file = join(dir, 'answers.json');
  try {
    await told([...words, file], JSON.stringify(questions), dir);
    return JSON.parse(readFileSync(file, 'utf8')) as string[];
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** @param home an empty folder: nothing is taken from, or left in, that of whoever runs the tests */
function told([program = '', ...args]: readonly string[], input: string, home: string): Promise<void> {
  return new Promise((done, failed) => {
    const env = { NO_COLOR: '1', HOME: home, PATH: process.env['PATH'] ?? '' };
    const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'pipe'], env });
    let complaint = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-2000);
    });
    child.on('error', failed);
    child.on('close', (status) => {
      if (status === 0) done();
      else failed(new Error(`${program} ended with status ${status}: ${complaint}`));
    });
    child.stdin.end(input);
  });
}

/** Bytes in the form that `runAll` revives. */
export function portable(value: unknown): unknown {
  if (value instanceof Uint8Array) return { base64: Buffer.from(value).toString('base64') };
  if (Array.isArray(value)) return value.map(portable);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, portable(member)]));
}

/** What the library is told for a fixture. */
export function callOf({ name, evidence, demands }: EvidenceFixture): Call {
  const { at, root, ...rest } = demands;
  const options = { ...rest, at: Date.parse(at), rootCa: root };
  return { name, call: 'verifyEvidence', args: [evidence, options].map(portable) };
}

/** What the calls answer in a process of Node or Bun that was robbed of everything but the globals of the web. */
export const libraryAnswers = (runtime: 'node' | 'bun', module: string, calls: readonly Call[]): Promise<string[]> =>
  answersOf([runtime === 'bun' ? BUN : process.execPath, 'test/verify-library/engine.mjs', resolve(module)], calls);
