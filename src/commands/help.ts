/**
 * `dstack-util --help` without loading the command line library: half of the time of a call is that. The text is the one
 * that commander would print; a test compares the two.
 */
import type { CommandEntry } from './command-entry.ts';

export const DESCRIPTION = 'boots, measures and serves a confidential VM';
export const VERSION_OPTION = ['-V, --version', 'print the version'] as const;
export const HELP_OPTION = ['-h, --help', 'print this help'] as const;
export const EPILOGUE = `
\`dstack-util help COMMAND\` explains one command; man dstack-util-COMMAND and docs/commands say the same.
Results go to stdout, progress and errors to stderr. Exit status: 0 done, 1 failed, 2 wrong usage or input, 3 misconfigured,
or (verify) not checkable.
Environment: DSTACK_LOG or RUST_LOG = error|warn|info|debug, NO_COLOR, DSTACK_HOST_SHARED_DIR.`;

const INDENT = '  ';
/** Narrower columns are not wrapped. */
const MIN_WRAP = 40;

/** The overview of all commands. @param width columns of the terminal */
export function overview(commands: readonly CommandEntry[], width = 80): string {
  const entry = ({ name, alias, summary }: CommandEntry) =>
    [alias === undefined ? name : `${name}|${alias}`, summary] as const;
  const entries = commands.map(entry);
  const groups = [...new Set(commands.map(({ group }) => group))];
  const options = [VERSION_OPTION, HELP_OPTION];
  const column = Math.max(...[...options, ...entries].map(([term]) => term.length));
  const item = ([term, text]: readonly [string, string]) =>
    `${INDENT}${term.padEnd(column)}${INDENT}${wrap(text, width - column - 2 * INDENT.length).join(`\n${' '.repeat(column + 2 * INDENT.length)}`)}`;
  const parts = [
    `Usage: dstack-util [options] [command]`,
    wrap(DESCRIPTION, width).join('\n'),
    ['Options:', ...options.map(item)].join('\n'),
    ...groups.map((group) =>
      [`${group}:`, ...commands.filter((it) => it.group === group).map((it) => item(entry(it)))].join('\n'),
    ),
  ];
  return `${parts.join('\n\n')}\n${EPILOGUE}\n`;
}

function wrap(text: string, width: number): string[] {
  if (width < MIN_WRAP) return [text];
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line !== '' && longer.length > width) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line];
}
