/** What was asked for on the command line of `npm run bench`; checked by main.ts before a benchmark is loaded. */
import type { Rival } from './against.ts';

export interface BenchOptions {
  readonly against: readonly Rival[];
  /** repetitions of boot, evidence and kms, where another number than their own is wanted */
  readonly runs?: number;
  /** requests for each method of the agent */
  readonly requests: number;
  /** only cases of the agent whose name has this text, and nothing about memory */
  readonly only?: string;
  /** folder of a canned attestation that both agents answer from */
  readonly canned?: string;
  /** how long soak runs */
  readonly minutes: number;
  /** file of the figures */
  readonly json: string;
}

let given: BenchOptions | undefined;

export function setOptions(options: BenchOptions): void {
  given = options;
}

/** The options of this run. A benchmark is never loaded by anybody but main.ts. */
export function options(): BenchOptions {
  if (given === undefined) throw new Error('benchmarks are started by npm run bench -- NAME');
  return given;
}
