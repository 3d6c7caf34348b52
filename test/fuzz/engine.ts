/**
 * The driver inside Node: tries changed inputs in batches, keeps those that reach something new, reports findings. Started
 * by main.ts with a bundle of the target; `process.send` carries what happens.
 */

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Coverage } from './coverage.ts';
import { mutate, Random } from './mutate.ts';
import { type FuzzTarget, MEMORY_LIMIT, outcome, TIME_LIMIT_MS } from './target.ts';

export interface EngineOptions {
  /** bundle of the target */
  readonly script: string;
  /** folders with inputs to start from; what is kept goes to the last */
  readonly corpus: readonly string[];
  /** the batch that is being tried: read by main.ts when this process dies */
  readonly batchFile: string;
  readonly seconds: number;
  readonly seed: number;
}

export type Message =
  | {
      readonly kind: 'status';
      readonly runs: number;
      readonly kept: number;
      readonly reached: number;
      readonly done: boolean;
    }
  | { readonly kind: 'finding'; readonly why: string; readonly input: string };

/** A batch is so long that its inputs take some ten times as long as asking what they reached. */
const BATCH = { least: 32, most: 4096, share: 10, bytes: 8 * 1024 * 1024 };
const STATUS_MS = 2_000;
/** Kinds of refusals that count as something new reached: a bound, as texts can hold values of the input. */
const REFUSALS = 400;
/** A process that found this much has made its point. */
const FINDINGS = 20;

const say = (message: Message): void => void process.send?.(message);
export const nameOf = (input: Uint8Array): string => createHash('sha256').update(input).digest('hex').slice(0, 16);

/** Batches are written as length (u32) and bytes, one input after the other. */
function packed(inputs: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(
    inputs.flatMap((input) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(input.length);
      return [length, input];
    }),
  );
}

/** The inputs of a batch. */
export function unpacked(bytes: Uint8Array): Uint8Array[] {
  const out: Uint8Array[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = view.getUint32(at, true);
    out.push(new Uint8Array(bytes.subarray(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  return out;
}

/** Tries one input. @returns what is wrong, undefined when all is well; and the kind of refusal */
export async function tryInput(target: FuzzTarget, input: Uint8Array): Promise<{ wrong?: string; refusal?: string }> {
  const measured = input.length > 1024;
  const before = measured ? held() : 0;
  const started = performance.now();
  let refusal: string | undefined;
  try {
    const refused = await outcome(target, input);
    if (refused !== undefined) refusal = kindOf(refused);
  } catch (thrown) {
    return { wrong: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown) };
  }
  const took = performance.now() - started;
  const growth = measured ? held() - before : 0;
  if (growth > MEMORY_LIMIT + input.length) return { wrong: `memory grew by ${Math.round(growth / 1e6)} MB` };
  const work = took > TIME_LIMIT_MS ? await leastWork(target, input) : 0;
  if (work > TIME_LIMIT_MS) return { wrong: `one input of ${input.length} bytes takes ${Math.round(work)} ms` };
  return refusal === undefined ? {} : { refusal };
}

function held(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** A slow input is tried again by the clock of the processor: the machine may have had no time for this process. */
async function leastWork(target: FuzzTarget, input: Uint8Array): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 3; round++) {
    const before = process.cpuUsage();
    await outcome(target, input);
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / 1000);
  }
  return best;
}

/** The refusal without the values of this input. Messages of others are left out: they quote it. */
function kindOf({ code, message, cause }: Error & { code: string }): string {
  const inner = cause instanceof Error && cause.name === 'DstackError' ? cause.message : '';
  return [code, message, inner]
    .map((text) => text.slice(0, 120).replace(/0x[0-9a-f]+|[0-9a-f]{4,}|[0-9]+|"[^"]*"|'[^']*'/g, '#'))
    .join(' ');
}

/** Loads a bundled target with counters on. */
async function open(script: string): Promise<{ target: FuzzTarget; coverage: Coverage }> {
  const { href } = pathToFileURL(script);
  const coverage = new Coverage(href, readFileSync(script, 'utf8').length);
  const { default: target } = (await import(href)) as { default: FuzzTarget };
  return { target, coverage };
}

/** Runs until the time is over. */
export async function fuzz(options: EngineOptions): Promise<void> {
  const { target, coverage } = await open(options.script);
  const words = target.dictionary.map((word) => (typeof word === 'string' ? Buffer.from(word) : word));
  const random = new Random(options.seed);
  const refusals = new Set<string>();
  const findings = new Set<string>();
  const inputs: Uint8Array[] = [];
  const store = options.corpus.at(-1) ?? '.';
  mkdirSync(store, { recursive: true });
  let runs = 0;

  const attempt = async (input: Uint8Array): Promise<boolean> => {
    runs++;
    const { wrong, refusal } = await tryInput(target, input);
    if (wrong !== undefined) {
      const kind = wrong.replace(/[0-9]+/g, '#').slice(0, 300);
      if (findings.has(kind)) return false;
      findings.add(kind);
      say({ kind: 'finding', why: wrong, input: Buffer.from(input).toString('base64') });
      return false;
    }
    if (refusal === undefined || refusals.has(refusal) || refusals.size >= REFUSALS) return false;
    refusals.add(refusal);
    return true;
  };

  let spoken = 0;
  /** A sign of life now and then: without one the process passes for hung. */
  const report = (done: boolean): void => {
    if (!done && Date.now() - spoken < STATUS_MS) return;
    spoken = Date.now();
    say({ kind: 'status', runs, kept: inputs.length, reached: coverage.total, done });
  };
  for (const input of stored(options.corpus, target.limit)) {
    report(false);
    writeFileSync(options.batchFile, packed([input]));
    const newRefusal = await attempt(input);
    if (coverage.take() > 0 || newRefusal) inputs.push(input);
    // what smaller ones reach by now has done its work
    else rmSync(join(store, nameOf(input)), { force: true });
  }
  if (inputs.length === 0) inputs.push(new Uint8Array());
  const started = Date.now();
  let length = BATCH.least;
  while (Date.now() - started < options.seconds * 1000 && findings.size < FINDINGS) {
    const pool = { inputs, words, limit: target.limit };
    const batch: Uint8Array[] = [];
    for (let bytes = 0; batch.length < length && bytes < BATCH.bytes; bytes += batch.at(-1)?.length ?? 0) {
      batch.push(mutate(pick(inputs, random), random, pool));
    }
    writeFileSync(options.batchFile, packed(batch));
    const fresh: Uint8Array[] = [];
    const before = performance.now();
    for (const input of batch) if (await attempt(input)) fresh.push(input);
    const between = performance.now();
    const news = coverage.take();
    const wanted = (BATCH.share * (performance.now() - between) * batch.length) / (between - before);
    length = Math.round(Math.min(BATCH.most, Math.max(BATCH.least, (length + wanted) / 2)));
    // somebody in this batch was somewhere new: who?
    if (news > 0) await coverage.again(() => newcomers(batch, target, coverage, fresh));
    for (const input of new Set(fresh)) {
      inputs.push(input);
      writeFileSync(join(store, nameOf(input)), input);
    }
    report(false);
  }
  report(true);
}

/** Finds those inputs of a batch that reach something new, by halves: asking costs more than running. */
async function newcomers(
  batch: readonly Uint8Array[],
  target: FuzzTarget,
  coverage: Coverage,
  found: Uint8Array[],
): Promise<void> {
  const [only] = batch;
  if (only !== undefined && batch.length === 1) {
    await outcome(target, only).catch(() => {});
    if (coverage.take() > 0) found.push(only);
    return;
  }
  const middle = batch.length >> 1;
  for (const half of [batch.slice(0, middle), batch.slice(middle)]) {
    for (const input of half) await outcome(target, input).catch(() => {});
    if (coverage.take() > 0) await coverage.again(() => newcomers(half, target, coverage, found));
  }
}

/** Every second pick is one of the newest inputs: they stand at the border of what is known. */
function pick(inputs: readonly Uint8Array[], random: Random): Uint8Array {
  const recent = Math.max(1, Math.floor(inputs.length / 4));
  return random.below(2) === 0 ? random.pick(inputs) : (inputs[inputs.length - 1 - random.below(recent)] as Uint8Array);
}

/**
 * A small set of inputs that reaches what all of them reach, smaller inputs first.
 * @param most number of inputs, @param size bytes of the largest
 */
export async function minimal(
  { script, corpus }: Pick<EngineOptions, 'script' | 'corpus'>,
  most: number,
  size: number,
): Promise<Uint8Array[]> {
  const { target, coverage } = await open(script);
  const out: Uint8Array[] = [];
  for (const input of stored(corpus, size)) {
    if (out.length >= most) break;
    await outcome(target, input).catch(() => {});
    if (coverage.take() > 0) out.push(input);
  }
  return out;
}

/** The inputs of the folders, smaller ones first: they are the better parents. */
export function stored(folders: readonly string[], limit: number): Uint8Array[] {
  return folders
    .flatMap((folder) => {
      try {
        return readdirSync(folder).map((name) => new Uint8Array(readFileSync(join(folder, name))));
      } catch {
        return [];
      }
    })
    .filter(({ length }) => length <= limit)
    .sort((a, b) => a.length - b.length);
}
