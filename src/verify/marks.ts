/** How an outcome looks in a table for people: the one place that knows. */
import type { Outcome } from './check.ts';
import type { ProofState } from './proof.ts';

const MARK: Readonly<Record<Outcome, string>> = { pass: 'ok', fail: 'FAIL', unknown: '?', note: '-' };
const STATE: Readonly<Record<ProofState, string>> = {
  proven: 'proven',
  'not proven': 'not proven',
  contradicted: 'CONTRADICTED',
};

/** Four characters wide. */
export const mark = (outcome: Outcome): string => MARK[outcome].padEnd(4);

export const stateMark = (state: ProofState): string => STATE[state];
