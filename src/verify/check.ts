/** The outcome of one thing that is checked. */

/** `unknown`: it could not be checked, so nothing is proven either way. `note`: said, without weight. */
export type Outcome = 'pass' | 'fail' | 'unknown' | 'note';

export interface Check {
  /** stable name for scripts */
  readonly name: string;
  readonly outcome: Outcome;
  /** one line for people */
  readonly detail: string;
}

/** The questions of a verification: a genuine machine, its operating system, its app, and whether the evidence is fresh. */
export type Part = 'machine' | 'system' | 'app' | 'fresh';

/** A check, and which question it belongs to; `input` is what could not even be read. */
export interface PartCheck extends Check {
  readonly part: Part | 'input';
}

export type Verdict = 'valid' | 'invalid' | 'unchecked';

export const pass = (name: string, detail: string): Check => ({ name, outcome: 'pass', detail });
export const fail = (name: string, detail: string): Check => ({ name, outcome: 'fail', detail });
export const unknown = (name: string, detail: string): Check => ({ name, outcome: 'unknown', detail });
export const note = (name: string, detail: string): Check => ({ name, outcome: 'note', detail });

/** The checks as ones of this part. */
export const ofPart = (part: PartCheck['part'], checks: readonly Check[]): PartCheck[] =>
  checks.map((check) => ({ part, ...check }));

/** One failure makes it invalid; otherwise one thing unknown leaves it open. */
export function verdictOf(checks: readonly Check[]): Verdict {
  if (checks.some(({ outcome }) => outcome === 'fail')) return 'invalid';
  return checks.some(({ outcome }) => outcome === 'unknown') ? 'unchecked' : 'valid';
}
