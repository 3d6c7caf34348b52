/** `doctor`: checks an installed guest and says what to do. */
import type { Command } from 'commander';
import type { Finding } from '../boot/boot.ts';
import { loadExamine, loadGuestMachine } from '../boot/boot.ts';
import * as ui from '../ui.ts';

const SIGN = { ok: 'ok', warning: 'warn', failed: 'FAIL', skipped: '-' } as const;

async function examine(options: { json?: boolean }): Promise<void> {
  const { examine: run } = await loadExamine();
  const { realGuestMachine } = await loadGuestMachine();
  const findings = await run(realGuestMachine);
  const healthy = findings.every(({ status }) => status !== 'failed');
  ui.result({ healthy, findings }, { json: options.json, text: () => text(findings), paint });
  if (!healthy) process.exitCode = 1;
}

/** The sign in front of a line, so that what failed is found at a glance. */
const paint = (line: string): string =>
  (['good', 'warn', 'bad', 'faint'] as const).reduce((text, style) => ui.paintMatch(text, SIGNS[style], style), line);

const SIGNS = {
  good: /^ok(?= )/,
  warn: /^warn(?= )/,
  bad: /^FAIL(?= )|^[1-9]\d* failed(?=,)/,
  faint: /^-(?= )/,
} as const;

function text(findings: readonly Finding[]): string[] {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const lines = findings.flatMap(({ check, status, text: found, advice }) => [
    `${SIGN[status].padEnd(5)} ${check.padEnd(width)}  ${found}`,
    ...(advice === undefined ? [] : [`${' '.repeat(width + 8)}-> ${advice}`]),
  ]);
  const count = (status: Finding['status']) => findings.filter((finding) => finding.status === status).length;
  return [...lines, `${count('failed')} failed, ${count('warning')} to look at, ${count('ok')} fine`];
}

export default function define(command: Command): void {
  command
    .option('--json', 'print the findings as JSON')
    .addHelpText('after', '\nOnly looks, changes nothing. Exit status 1 when a check failed; warnings do not count.')
    .action(examine);
}
