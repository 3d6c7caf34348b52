/** Every npm script: --help, wrong options, and how failures are told. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, describe as group, it } from 'vitest';
import { describe, npmCommand, npmScript, runScript, WrongOptions, wholeNumber } from '../../scripts/lib/script.ts';
import { DstackError } from '../../src/errors.ts';

const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
const SLOW = 120_000;

/** What scripts/run.mjs starts: name -> file. */
const SCRIPTS = [...readFileSync('scripts/run.mjs', 'utf8').matchAll(/^ {2}'?([a-z-]+)'?: '(\S+\.ts)',$/gm)].map(
  ([, name = '', file = '']) => ({ name, file }),
);

function run(file: string, ...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(BUN, [file, ...args], { timeout: SLOW }, (failure, stdout, stderr) => {
      const status = failure === null ? 0 : typeof failure.code === 'number' ? failure.code : -1;
      resolve({ status, stdout, stderr });
    });
  });
}

group('every npm script', () => {
  it('is in package.json under its name', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
    expect(SCRIPTS.length).toBeGreaterThan(9);
    for (const { name } of SCRIPTS) expect(scripts[name]).toBe(`node scripts/run.mjs ${name}`);
  });

  it.each(SCRIPTS)(
    '$name explains itself and refuses what it does not know, before it does anything',
    async ({ name, file }) => {
      const help = await run(file, '--help');
      expect(help.stderr).toBe('');
      expect(help.status).toBe(0);
      expect(help.stdout.split('\n')[0]).toMatch(new RegExp(`^Usage: ${npmCommand(name)} -- `));
      for (const line of help.stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
      const wrong = await run(file, '--frob');
      expect(wrong).toEqual({
        status: 2,
        stdout: '',
        stderr: `error: unknown option '--frob'\n  hint: see ${npmCommand(name)} -- --help\n`,
      });
    },
    SLOW,
  );

  it(
    'names a value that is not one',
    async () => {
      for (const [file, ...args] of [
        ['scripts/simulator.ts', '--port', 'abc'],
        ['scripts/build.ts', 'everything'],
        ['test/fault/main.ts', 'disk', '--fs', 'btrfs'],
        ['initramfs/start.ts', '--memory', '1'],
      ] as const) {
        const { status, stdout, stderr } = await run(file, ...args);
        expect({ status, stdout, lines: stderr.split('\n').length }).toEqual({ status: 2, stdout: '', lines: 3 });
        expect(stderr).toContain(args.at(-1));
      }
    },
    SLOW,
  );
});

group('the printer of errors', () => {
  const text = (thrown: unknown) => describe(thrown, 'npm run x --');

  it('shows what a person can use, and a stack only for a defect', () => {
    expect(text(new Error('no\n  hint: try'))).toEqual({ text: 'error: no\n  hint: try\n', status: 1 });
    expect(text(new WrongOptions('a and b'))).toEqual({
      text: 'error: a and b\n  hint: see npm run x -- --help\n',
      status: 2,
    });
    const document = new DstackError('JSON_INVALID', 'not JSON', { path: '/nope' });
    expect(text(document).text).toBe(`error: not JSON\n  file: /nope\n  hint: ${document.hint}\n`);
    expect(text(new TypeError('x is undefined')).text).toMatch(/x is undefined\n\s+at /);
  });

  it('keeps what a program said and leaves out the place in the script', () => {
    const failed = Object.assign(new Error('\n at <anonymous>\n exit code: 3'), {
      stderr: 'first\nlast\n',
      exitCode: 3,
      cmd: 'tar --create',
    });
    expect(text(failed)).toEqual({ text: 'error: tar --create: exit status 3\n  first\n  last\n', status: 1 });
  });

  it('names a full disk, whoever said it', () => {
    for (const thrown of [
      Object.assign(new Error("write 'x'"), { code: 'ENOSPC' }),
      new Error('mmdebstrap: exit status 25\n  E: write failed (No space left on device)'),
      Object.assign(new Error('exit code: 1'), { stderr: 'ENOSPC: no space left on device', exitCode: 1 }),
    ]) {
      expect(text(thrown).text).toMatch(/^error: no space left on the disk: \/\S+ has [\d,]+ MiB/);
    }
  });

  it('runs the action with checked options, and keeps its exit status', async () => {
    const before = process.exitCode;
    let got: unknown;
    const script = npmScript('x', 'does x')
      .option('--n <n>', 'number', wholeNumber(1, 9), 3)
      .action((options) => {
        got = options;
      });
    await runScript(script, { argv: ['--n', '4'] });
    expect(got).toEqual({ n: 4 });
    expect(process.exitCode).toBe(before);
  });
});
