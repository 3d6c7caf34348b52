/**
 * The figures of a run of `npm run bench`: median and spread, the machine they come from, a JSON file, and the tables of
 * docs/performance.md. A figure is what was measured; a budget stands beside it and is never asserted.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { VERSION } from '../src/version.ts';

export interface Figure {
  /** name of the benchmark, e.g. `cli` */
  readonly bench: string;
  readonly name: string;
  /** `ms`, `us`, `MB`, `requests/s` ... */
  readonly unit: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly runs: number;
  /** most that is wanted (least, for rates); the budgets of the project */
  readonly budget?: number;
  /** figures of the same run for other implementations: median, and ours divided by it */
  readonly against?: readonly { readonly name: string; readonly median: number; readonly ratio: number }[];
}

export interface Report {
  readonly when: string;
  readonly version: string;
  readonly revision: string;
  readonly machine: string;
  readonly figures: readonly Figure[];
}

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
};

const figures: Figure[] = [];

/** Notes a figure for the report. @param others values of other implementations, measured in alternation with ours */
export function note(
  figure: Pick<Figure, 'bench' | 'name' | 'unit'> & { budget?: number | undefined },
  values: readonly number[],
  others: ReadonlyMap<string, readonly number[]> = new Map(),
): Figure {
  const middle = median(values);
  const { budget, ...rest } = figure;
  const full: Figure = {
    ...rest,
    median: middle,
    min: Math.min(...values),
    max: Math.max(...values),
    runs: values.length,
    ...(budget === undefined ? {} : { budget }),
    ...(others.size === 0
      ? {}
      : {
          against: [...others].map(([name, theirs]) => ({
            name,
            median: median(theirs),
            ratio: middle / median(theirs),
          })),
        }),
  };
  figures.push(full);
  return full;
}

/** The same from a spread that was computed elsewhere. */
export function noteSpread(
  figure: Pick<Figure, 'bench' | 'name' | 'unit'> & { budget?: number },
  spread: Pick<Figure, 'median' | 'min' | 'max' | 'runs'>,
): void {
  figures.push({ ...figure, ...spread });
}

/** Processor, number of processors, memory, load, kernel: figures mean nothing without it. */
export function machineLine(): string {
  const [processor] = cpus();
  const load = loadavg()[0] ?? 0;
  return `${cpus().length} x ${processor?.model.trim() ?? 'unknown processor'}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, load ${load.toFixed(1)}`;
}

const revision = (): string => {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
};

/** Adds this run to a report file: figures of benchmarks that ran are replaced, others stay. */
export function writeReport(path: string): Report {
  const ran = new Set(figures.map(({ bench }) => bench));
  let kept: readonly Figure[] = [];
  try {
    kept = (JSON.parse(readFileSync(path, 'utf8')) as Report).figures.filter(({ bench }) => !ran.has(bench));
  } catch {
    // the first run
  }
  const report: Report = {
    when: `${new Date().toISOString().slice(0, 16)}Z`,
    version: VERSION,
    revision: revision(),
    machine: machineLine(),
    figures: [...kept, ...figures],
  };
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(report, null, 2)}\n`);
  return report;
}

const digits = (value: number): string =>
  value >= 1000
    ? Math.round(value).toLocaleString('en-US')
    : value >= 100
      ? value.toFixed(0)
      : value.toFixed(value < 10 ? 2 : 1);

/** docs/performance.md between its marks, from a report. */
export function reportTables({ figures: all, machine, when, version, revision: commit }: Report): string {
  const parts = [`Measured ${when.replace('T', ' ')} at ${commit} (${version}) on ${machine}.`];
  for (const bench of [...new Set(all.map((figure) => figure.bench))]) {
    const rows = all.filter((figure) => figure.bench === bench);
    parts.push(
      [
        `### ${bench}`,
        '',
        '| what | median | spread | runs | budget |',
        '|---|---|---|---|---|',
        ...rows.map(
          ({ name, unit, median: middle, min, max, runs, budget }) =>
            `| ${name} | ${digits(middle)} ${unit} | ${digits(min)} to ${digits(max)} | ${runs} | ${budget === undefined ? '' : `${digits(budget)} ${unit}`} |`,
        ),
        ...rows.flatMap(({ name, against = [] }) =>
          against.map(
            (other) => `| ${name}: ${other.name} | ${digits(other.median)} | ratio ${other.ratio.toFixed(2)} | | |`,
          ),
        ),
      ].join('\n'),
    );
  }
  return parts.join('\n\n');
}

const MARKS = ['<!-- figures: made by npm run bench -- docs -->', '<!-- end of figures -->'] as const;

/** Puts the tables between the marks of a page. Throws when the page has lost them. */
export function fillPage(page: string, tables: string): string {
  const [begin, end] = [page.indexOf(MARKS[0]), page.indexOf(MARKS[1])];
  if (begin < 0 || end < begin) throw new Error('the page has no marks for the figures');
  return `${page.slice(0, begin)}${MARKS[0]}\n\n${tables}\n\n${page.slice(end)}`;
}
