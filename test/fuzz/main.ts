/**
 * `npm run fuzz -- TARGET --seconds N [--seed N] [--keep]`: coverage-guided fuzzing of one reader of hostile bytes, or with
 * `all --hours N` of all of them, in turns, with a table at the end.
 *
 * The target is bundled and driven by Node (V8 counts what an input reaches), in a process with little memory that may
 * die or hang. What was found goes to test/fuzz/found/TARGET and is replayed by the unit tests from then on. The working
 * corpus lies in .cache/fuzz; `--keep` writes a small set that reaches as much to test/fuzz/corpus/TARGET.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Argument, InvalidArgumentError, Option } from 'commander';
import { npmScript, runScript, wholeNumber } from '../../scripts/lib/script.ts';
import type { Job } from './child.ts';
import { type Message, nameOf, unpacked } from './engine.ts';
import { SEEDS } from './seeds.ts';

const HERE = 'test/fuzz';
const HEAP_MB = 1024;
/** Without a word for this long the process hangs. */
const SILENCE_MS = 60_000;
const KEEP = { most: 60, size: 16_384 };

interface Flags {
  readonly seconds: number;
  readonly hours: number;
  readonly seed: number;
  readonly keep: boolean;
}

/** What one target did. */
interface Outcome {
  readonly name: string;
  readonly runs: number;
  readonly kept: number;
  readonly reached: number;
  readonly findings: number;
}

const ALL = 'all';
/** Each target gets several turns, so that a run that is ended early has been everywhere. */
const TURN_SECONDS = 60;

async function main(name: string, flags: Flags): Promise<void> {
  const outcomes = name === ALL ? await inTurns(flags) : [await one(name, flags)];
  if (name === ALL) console.log(table(outcomes));
  process.exitCode = outcomes.every(({ findings }) => findings === 0) ? 0 : 1;
}

/** All targets one after the other, again and again, until the time is over. */
async function inTurns({ hours, seed, keep }: Flags): Promise<Outcome[]> {
  const names = Object.keys(SEEDS).toSorted();
  const seconds = hours * 3600;
  const rounds = Math.max(1, Math.round(seconds / (names.length * TURN_SECONDS)));
  const sums = new Map<string, Outcome>();
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const now = await one(name, {
        seconds: Math.max(1, Math.round(seconds / (names.length * rounds))),
        seed: seed + round,
        keep: keep && round === rounds - 1,
        hours,
      });
      const before = sums.get(name);
      sums.set(name, {
        ...now,
        runs: now.runs + (before?.runs ?? 0),
        findings: now.findings + (before?.findings ?? 0),
      });
    }
  }
  return [...sums.values()];
}

/** A table in Markdown, with a line of sums. */
function table(outcomes: readonly Outcome[]): string {
  const sum = (pick: (outcome: Outcome) => number) => outcomes.reduce((total, outcome) => total + pick(outcome), 0);
  const number = (value: number) => value.toLocaleString('en-US');
  return [
    '| target | executions | inputs kept | characters of code reached | findings |',
    '|---|---|---|---|---|',
    ...outcomes.map(
      ({ name, runs, kept, reached, findings }) =>
        `| \`${name}\` | ${number(runs)} | ${number(kept)} | ${number(reached)} | ${findings} |`,
    ),
    `| all | ${number(sum(({ runs }) => runs))} | ${number(sum(({ kept }) => kept))} | | ${sum(({ findings }) => findings)} |`,
  ].join('\n');
}

async function one(name: string, { seconds, seed, keep: keepSome }: Flags): Promise<Outcome> {
  const work = resolve('.cache/fuzz', name);
  mkdirSync(work, { recursive: true });
  const script = await bundle(resolve(HERE, 'targets', `${name}.ts`), work, 'target.mjs');
  const child = await bundle(resolve(HERE, 'child.ts'), work, 'child.mjs');
  await writeSeeds(name, join(work, 'seeds'));
  const corpus = [
    join(work, 'seeds'),
    resolve(HERE, 'corpus', name),
    resolve(HERE, 'found', name),
    join(work, 'corpus'),
  ];
  const batchFile = join(work, 'batch');
  console.error(`fuzzing ${name} for ${seconds} s, seed ${seed}`);
  const last = { runs: 0, kept: 0, reached: 0 };
  const findings = await hunt(
    child,
    { kind: 'fuzz', options: { script, corpus, batchFile, seconds, seed } },
    name,
    batchFile,
    last,
  );
  if (keepSome) await keep(child, script, corpus, name);
  console.error(findings === 0 ? `${name}: nothing found` : `${name}: ${findings} findings in ${HERE}/found/${name}`);
  return { name, ...last, findings };
}

async function bundle(entry: string, folder: string, name: string): Promise<string> {
  const built = await Bun.build({ entrypoints: [entry], target: 'node', format: 'esm', outdir: folder, naming: name });
  if (!built.success) throw new Error(`cannot bundle ${entry}: ${built.logs.join('\n')}`);
  return join(folder, name);
}

async function writeSeeds(name: string, folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const input of (await SEEDS[name]?.()) ?? []) writeFileSync(join(folder, nameOf(input)), input);
}

function start(child: string, job: Job): ChildProcess {
  return spawn('node', [`--max-old-space-size=${HEAP_MB}`, child, JSON.stringify(job)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    // warnings about each input would bury what was found
    env: { ...process.env, DSTACK_LOG: 'error' },
  });
}

function found(name: string, input: Uint8Array, why: string): void {
  const folder = join(HERE, 'found', name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, nameOf(input)), input);
  console.error(`FOUND ${folder}/${nameOf(input)} (${input.length} bytes): ${why.split('\n').slice(0, 4).join(' ')}`);
}

/** Runs the job to its end. A process that dies or hangs is a finding too: the batch it was at is tried one by one. */
async function hunt(
  child: string,
  job: Job,
  name: string,
  batchFile: string,
  last: { runs: number; kept: number; reached: number },
): Promise<number> {
  let findings = 0;
  let finished = false;
  const running = start(child, job);
  let silence = setTimeout(() => running.kill('SIGKILL'), SILENCE_MS);
  running.on('message', (message: Message) => {
    clearTimeout(silence);
    silence = setTimeout(() => running.kill('SIGKILL'), SILENCE_MS);
    if (message.kind === 'finding') {
      findings++;
      found(name, Buffer.from(message.input, 'base64'), message.why);
    } else {
      finished ||= message.done;
      Object.assign(last, { runs: message.runs, kept: message.kept, reached: message.reached });
      console.error(
        `${name}: ${message.runs} runs, ${message.kept} inputs kept, ${message.reached} characters of code reached`,
      );
    }
  });
  await new Promise((done) => running.on('exit', done));
  clearTimeout(silence);
  if (finished) return findings;
  console.error(`${name}: the process died or hung, looking for the input`);
  const { script } = (job as Extract<Job, { kind: 'fuzz' }>).options;
  const culprit = unpacked(readFileSync(batchFile))[await lastTried(child, { kind: 'batch', script, batchFile })];
  if (culprit === undefined) console.error(`${name}: the batch in ${batchFile} does no harm on its own`);
  else found(name, culprit, 'the process died or hung');
  return findings + 1;
}

/** Number of the input that a process died or hung at; -1 when it came through. */
async function lastTried(child: string, job: Job): Promise<number> {
  const running = start(child, job);
  let last = 0;
  let silence = setTimeout(() => running.kill('SIGKILL'), SILENCE_MS);
  running.on('message', ({ index }: { index: number }) => {
    clearTimeout(silence);
    silence = setTimeout(() => running.kill('SIGKILL'), SILENCE_MS);
    last = index;
  });
  await new Promise((done) => running.on('exit', done));
  clearTimeout(silence);
  return last;
}

async function keep(child: string, script: string, corpus: readonly string[], name: string): Promise<void> {
  const running = start(child, { kind: 'minimal', script, corpus, ...KEEP });
  let kept: string[] = [];
  running.on('message', (message: string[]) => {
    kept = message;
  });
  await new Promise((done) => running.on('exit', done));
  const folder = join(HERE, 'corpus', name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const text of kept) {
    const input = Buffer.from(text, 'base64');
    writeFileSync(join(folder, nameOf(input)), input);
  }
  console.error(`${name}: ${kept.length} inputs kept in ${folder}`);
}

function hours(text: string): number {
  const value = /^\d{1,4}(\.\d{1,3})?$/.test(text) ? Number(text) : 0;
  if (value > 0) return value;
  throw new InvalidArgumentError('It must be a number of hours, for example 8 or 0.5.');
}

await runScript(
  npmScript('fuzz', 'coverage-guided fuzzing of one reader of hostile bytes, or of all in turns')
    .addArgument(new Argument('<target>', 'which reader').choices([ALL, ...Object.keys(SEEDS).toSorted()]))
    .option('--seconds <n>', 'how long, for one target', wholeNumber(1), 60)
    .option('--hours <n>', 'how long in sum, for all of them; 0.5 is half an hour', hours, 1)
    .addOption(
      new Option('--seed <n>', 'where the dice begin')
        .argParser(wholeNumber(0))
        .default(Date.now() % 1_000_000, 'by the clock; it is printed'),
    )
    .option('--keep', 'write a small set that reaches as much to test/fuzz/corpus/TARGET', false)
    .action(main),
);
