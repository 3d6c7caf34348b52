/** The fenced blocks of a page as a reader goes through them: commands, and what they are shown to print. */
import { readFileSync } from 'node:fs';

/** A command, and the output below it; a page shows none for most. */
export interface Shown {
  readonly command: string;
  readonly output?: string;
}

export interface CodeBlock {
  /** of the fence, from 1 */
  readonly line: number;
  /** why the block is not run, from `<!-- not run: REASON -->` in the line above the fence */
  readonly notRun?: string;
  readonly steps: readonly Shown[];
}

/**
 * Fenced blocks, in order. Lines with a prompt (`$ `) are commands, what follows each is its output; a block without any
 * prompt is one script without shown output. `<!-- output of: COMMAND -->` above a block makes all of it the output of that
 * command, or a part of the output: it need not begin at its first line or end with its last.
 */
export function codeBlocks(path: string, source = readFileSync(path, 'utf8')): CodeBlock[] {
  const lines = source.split('\n');
  const blocks: CodeBlock[] = [];
  for (let at = 0; at < lines.length; at++) {
    if (!/^ *```/.test(lines[at] ?? '')) continue;
    const end = lines.findIndex((text, index) => index > at && /^ *```/.test(text));
    if (end < 0) throw new Error(`${path}:${at + 1}: a block without an end`);
    const body = lines.slice(at + 1, end).join('\n');
    const [, kind, note = ''] = /^<!-- (not run|output of): (.+) -->$/.exec((lines[at - 1] ?? '').trim()) ?? [];
    const steps = kind === 'output of' ? [{ command: note, output: `...\n${body}\n...` }] : stepsOf(body);
    blocks.push({ line: at + 1, steps, ...(kind === 'not run' ? { notRun: note } : {}) });
    at = end;
  }
  return blocks;
}

function stepsOf(body: string): Shown[] {
  if (!/^\$ /m.test(body)) return [{ command: body }];
  const steps: { command: string; output: string[] }[] = [];
  let open = false;
  for (const line of body.split('\n')) {
    const last = steps.at(-1);
    if (open && last !== undefined) last.command += `\n${line}`;
    else if (line.startsWith('$ ')) steps.push({ command: line.slice(2), output: [] });
    else last?.output.push(line);
    open = (open || line.startsWith('$ ')) && line.endsWith('\\');
  }
  return steps.map(({ command, output }) => {
    const text = output.join('\n').trim();
    return text === '' ? { command } : { command, output: text };
  });
}

/** Text without what differs between two runs or two screens: digests, times, sizes of quotes, columns and line ends. */
export const withoutAccidents = (text: string): string =>
  text
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replaceAll(/\b[0-9a-f]{8,}(…|\.\.\.)?/g, 'HEX')
    .replaceAll(/\b\d+ bytes\b/g, 'N bytes')
    .replaceAll(/\s+/g, ' ')
    // one value may be on two lines
    .replaceAll(/HEX( HEX)+/g, 'HEX')
    .trim();

/**
 * Compares shown output with what was printed. A line `...` stands for any text.
 * @returns what was shown and not printed in its place, or undefined when all was
 */
export function difference(shown: string, printed: string): string | undefined {
  const parts = `\n${shown}\n`.split(/\n *\.\.\. *(?=\n)/).map(withoutAccidents);
  const actual = ` ${withoutAccidents(printed)} `;
  let at = 0;
  for (const [index, part] of parts.entries()) {
    const wanted = ` ${part} `;
    const found = part === '' ? at : actual.indexOf(wanted, at);
    if (found < 0 || (index === 0 && part !== '' && found > 0)) return `shown:   ${part}\nprinted:${actual.slice(at)}`;
    if (part !== '') at = found + wanted.length - 1;
  }
  return parts.at(-1) === '' || actual.slice(at).trim() === '' ? undefined : `printed, not shown:${actual.slice(at)}`;
}
