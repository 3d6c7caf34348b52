/** The command lines that README and docs show: lines of code blocks that begin with a program. */
import { readFileSync } from 'node:fs';

const PROGRAMS =
  /^(\$ )?((?:dstack-util|dstack-sim|npm|npx|node|curl|wg|iptables|journalctl|systemctl|docker|tar|unsquashfs|mksquashfs|veritysetup|openssl|promtool|mkosi|minisign|apt-get|dpkg|\S*install\.sh)(?= |$).*|\w+=\$\(.*)$/;

export interface CommandLine {
  readonly page: string;
  readonly line: number;
  /** without prompt, comment and continuation */
  readonly text: string;
}

/** Command lines of a page, in order. What follows two blanks is a remark, as is a comment. */
export function commandLines(page: string, source = readFileSync(page, 'utf8')): CommandLine[] {
  const found: CommandLine[] = [];
  let fenced = false;
  let open: { line: number; text: string } | undefined;
  for (const [index, raw] of source.split('\n').entries()) {
    if (/^ {0,3}```/.test(raw)) {
      fenced = !fenced;
      continue;
    }
    if (!fenced && !raw.startsWith('    ')) continue;
    const [, , command] = PROGRAMS.exec(raw.trim()) ?? [];
    const more = open !== undefined;
    const text = more ? `${open?.text} ${raw.trim()}` : command;
    if (text === undefined) continue;
    const line = open?.line ?? index + 1;
    open = text.endsWith('\\') ? { line, text: text.slice(0, -1).trim() } : undefined;
    if (open === undefined) found.push({ page, line, text: text.replace(/\s+# .*$| {2,}.*$/, '').trim() });
  }
  return found;
}
