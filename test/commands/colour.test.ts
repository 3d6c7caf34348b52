/** Colours of the compiled binary, on a terminal that script(1) makes, and in a pipe. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const BINARY = 'dist/dstack-util';
const ESC = '\u001b[';
const WRONG = ['fde', 'status', '--device', '/dev/nope'];

/** Everything that a person sees on a terminal; the exit status is not of interest here. */
async function onTerminal(args: readonly string[], env: Record<string, string>): Promise<string> {
  const all = { PATH: process.env['PATH'] ?? '', TERM: 'xterm', ...env };
  const command = [BINARY, ...args].join(' ');
  return (await promisify(execFile)('script', ['-qec', command, '/dev/null'], { env: all }).catch((it) => it)).stdout;
}

async function inPipe(args: readonly string[], env: Record<string, string>): Promise<string> {
  const all = { PATH: process.env['PATH'] ?? '', TERM: 'xterm', ...env };
  const { stdout, stderr } = await promisify(execFile)(BINARY, [...args], { env: all }).catch((it) => it);
  return `${stdout}${stderr}`;
}

describe('colours', () => {
  it('are on a terminal: of an error only its name is red', async () => {
    const [first = '', ...rest] = (await onTerminal(WRONG, {})).trim().split('\n');
    expect(first).toMatch(/^\u001b\[31m\u001b\[1merror\u001b\[22m\u001b\[39m \[DISK_NOT_FOUND\]: [^\u001b]+$/);
    expect(rest.length).toBeGreaterThan(1);
    for (const line of rest) expect(line).not.toContain(ESC);
  });

  it('tell what failed from what is fine, in what doctor finds', async () => {
    const text = await onTerminal(['doctor'], {});
    expect(text).toMatch(/^\u001b\[31m\u001b\[1mFAIL\u001b\[22m\u001b\[39m {2}\S/m);
    expect(text).not.toMatch(/^(ok|FAIL|warn) /m);
  });

  it.each([{ NO_COLOR: '1' }, { TERM: 'dumb' }, { FORCE_COLOR: '0' }])('are not there with %j', async (env) => {
    const text = await onTerminal(WRONG, env);
    expect(text).toMatch(/^error \[DISK_NOT_FOUND\]/);
    expect(text).not.toContain(ESC);
  });

  it('are in a pipe only where they are forced, and never for the journal', async () => {
    expect(await inPipe(WRONG, {})).not.toContain(ESC);
    expect(await inPipe(WRONG, { FORCE_COLOR: '1' })).toContain(`${ESC}31m`);
    expect(await inPipe(WRONG, { FORCE_COLOR: '1', NO_COLOR: '1' })).not.toContain(ESC);
    expect(await inPipe(WRONG, { FORCE_COLOR: '1', JOURNAL_STREAM: '1:2' })).toMatch(/^<3>error \[DISK_NOT_FOUND\]/);
  });

  it('are never in JSON', async () => {
    expect(await onTerminal(['doctor', '--json'], {})).not.toContain(ESC);
  });
});
