/** What benchmarks share: the machine they ran on, and figures with their spread. */
import { cpus, loadavg, totalmem } from 'node:os';
import { noteSpread } from './report.ts';

/** One line about the machine and how busy it is: figures mean nothing without it. */
export function machineLine(): string {
  const all = cpus();
  const model = all[0]?.model.trim() ?? 'unknown processor';
  const gib = (totalmem() / 2 ** 30).toFixed(1);
  const load = loadavg()
    .map((value) => value.toFixed(1))
    .join(' ');
  return `machine: ${model}, ${all.length} processors, ${gib} GiB, load ${load}, Bun ${process.versions['bun'] ?? 'none'}`;
}

export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
  readonly runs: number;
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (part: number): number =>
    sorted[Math.min(Math.floor(part * sorted.length), sorted.length - 1)] ?? Number.NaN;
  return { min: at(0), median: at(0.5), max: at(1), runs: sorted.length };
}

export interface Timing {
  readonly first: number;
  readonly rest: Spread;
  /** median of the processor time of one run, of all threads: what remains on a busy machine */
  readonly cpu: number;
}

/** Runs a function again and again; what it answers (milliseconds) counts, else the time it took. */
export async function repeat(runs: number, work: () => unknown): Promise<Timing> {
  const values: number[] = [];
  const used: number[] = [];
  for (let run = 0; run < runs; run++) {
    const before = process.cpuUsage();
    const began = performance.now();
    const own = await work();
    values.push(typeof own === 'number' ? own : performance.now() - began);
    const { user, system } = process.cpuUsage(before);
    used.push((user + system) / 1000);
  }
  return { first: values[0] ?? Number.NaN, rest: spreadOf(values.slice(1)), cpu: spreadOf(used.slice(1)).median };
}

const ms = (value: number): string => `${value < 10 ? value.toFixed(2) : value.toFixed(1)} ms`;

/** One line: the median against its budget in milliseconds, and the spread. */
export function row(name: string, { first, rest, cpu }: Timing, budget: number): void {
  noteSpread({ bench: 'evidence', name, unit: 'ms', budget }, rest);
  const spread = `${ms(rest.min)} to ${ms(rest.max)}, first ${ms(first)}, processor ${ms(cpu)}, ${rest.runs} runs`;
  console.log(`  ${name.padEnd(44)} ${ms(rest.median).padStart(10)}   budget ${`${budget} ms`.padEnd(7)}  ${spread}`);
}
