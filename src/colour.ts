/**
 * Colours, by chalk: it knows terminals, TERM=dumb and FORCE_COLOR. NO_COLOR (no-color.org) is asked here. The library is
 * loaded only where something may be coloured, which under systemd, in a pipe and in a script is never the case.
 */
import type { ChalkInstance } from 'chalk';

export type Style = 'good' | 'bad' | 'warn' | 'faint' | 'strong';
export type Stream = 'stdout' | 'stderr';

const STYLES: Readonly<Record<Style, (chalk: ChalkInstance) => ChalkInstance>> = {
  good: (chalk) => chalk.green,
  bad: (chalk) => chalk.red.bold,
  warn: (chalk) => chalk.yellow,
  faint: (chalk) => chalk.dim,
  strong: (chalk) => chalk.bold,
};

let loaded: Readonly<Record<Stream, ChalkInstance>> | undefined;

const possible = (): boolean =>
  !process.env['NO_COLOR'] &&
  (process.stdout.isTTY === true || process.stderr.isTTY === true || process.env['FORCE_COLOR'] !== undefined);

/** Loads the library if there is a terminal, or FORCE_COLOR; before it nothing is coloured. */
export async function loadColours(): Promise<void> {
  if (loaded !== undefined || !possible()) return;
  const { default: stdout, chalkStderr: stderr } = await import('chalk');
  loaded = { stdout, stderr };
}

/** The text in a style, or as it is where that stream shows no colours. The journal gets none. */
export function paint(stream: Stream, style: Style, text: string): string {
  if (loaded === undefined || (stream === 'stderr' && process.env['JOURNAL_STREAM'] !== undefined)) return text;
  return STYLES[style](loaded[stream])(text);
}

/** A line of a result with the words that a pattern finds in a style: the group that matched, or all of it. */
export function paintMatch(line: string, pattern: RegExp, style: Style): string {
  if (loaded === undefined) return line;
  return line.replace(pattern, (all: string, ...groups: unknown[]) => {
    const word = groups.slice(0, -2).find((group): group is string => typeof group === 'string') ?? all;
    return all.replace(word, () => paint('stdout', style, word));
  });
}
