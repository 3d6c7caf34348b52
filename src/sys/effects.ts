/**
 * The dry run. Whether this process may change anything is decided once, before the first phase runs; every function of
 * this room that changes the system passes through `effect`, so a dry run prints the change instead of making it.
 */

import { printable } from '../ui.ts';

let sink: ((line: string) => void) | undefined;

/** Switches the whole process to a dry run: changes are handed to `print` as text. There is no way back. */
export function startDryRun(print: (line: string) => void): void {
  sink = print;
}

export const isDryRun = (): boolean => sink !== undefined;

/** Makes a change, or describes it in a dry run and answers `instead`. */
export async function effect<T>(description: string, instead: T, change: () => Promise<T | undefined>): Promise<T> {
  if (sink !== undefined) {
    sink(printable(description));
    return instead;
  }
  return (await change()) as T;
}
