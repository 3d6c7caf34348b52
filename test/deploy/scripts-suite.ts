/** The scripts of the app in real bash. Runs under Node and, as the binary does, under Bun: their pipes differ. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runScript, sourceScript } from '../../src/deploy/scripts.ts';

export function scriptsSuite(): void {
  const cwd = mkdtempSync(join(tmpdir(), 'dstack-scripts-'));
  afterAll(() => rmSync(cwd, { recursive: true, force: true }));
  const source = (text: string, env: Record<string, string> = {}) =>
    sourceScript('pre_launch_script', text, { cwd, env: new Map(Object.entries(env)) });

  describe('sourceScript', () => {
    it('answers what the script exported, with any character in it', async () => {
      const env = await source('export A=1 "B=two\nlines $x"; C=private; export D="$GIVEN é"', { GIVEN: 'g' });
      expect(env?.get('A')).toBe('1');
      expect(env?.get('B')).toBe('two\nlines ');
      expect(env?.get('D')).toBe('g é');
      expect(env?.has('C')).toBe(false);
      expect(env?.get('GIVEN')).toBe('g');
    });
    it('keeps the variables of the shell and of this process to itself', async () => {
      const env = await source('true');
      for (const name of ['_', 'SHLVL', 'PWD', 'OLDPWD', 'VITEST', 'NO_COLOR', 'LISTEN_FDS'])
        expect(env?.has(name)).toBe(false);
    });
    it('lets a script unset what it was given', async () => {
      expect((await source('unset GIVEN', { GIVEN: 'g' }))?.has('GIVEN')).toBe(false);
    });
    it('runs in the work directory with an empty input and its output elsewhere', async () => {
      const env = await source('pwd > here; read -r x || export EMPTY=yes; echo shown; echo A=forged');
      expect(readFileSync(join(cwd, 'here'), 'utf8').trim()).toBe(cwd);
      expect(env?.get('EMPTY')).toBe('yes');
      expect(env?.has('A')).toBe(false);
    });
    it('is sourced: functions, return and here-documents work', async () => {
      const env = await source('f() { export F=$(cat <<EOF\nfrom $1\nEOF\n); }; f me\nreturn 0\nexport LATE=1');
      expect(env?.get('F')).toBe('from me');
      expect(env?.has('LATE')).toBe(false);
    });
    it.each([
      ['a failing command', 'false; export A=1', 1],
      ['an exit status', 'exit 7', 7],
      ['a signal', 'kill -TERM $$', 143],
      ['a syntax error', 'if then', 2],
    ])('fails with %s', async (_, text, exit) => {
      await expect(source(text)).rejects.toMatchObject({
        code: 'SCRIPT_FAILED',
        message: `pre_launch_script failed with exit status ${exit}`,
      });
    });
    it('tells when the script itself ended the start with exit 0', async () => {
      expect(await source('exit 0')).toBeUndefined();
    });
    it('does not wait for what the script leaves running, and does not show it the environment', async () => {
      const started = Date.now();
      const env = await source('sleep 20 & echo $! > pid; echo forged >&3 || export CLOSED=yes');
      expect(Date.now() - started).toBeLessThan(5000);
      expect(env?.get('CLOSED')).toBe('yes');
      process.kill(Number(readFileSync(join(cwd, 'pid'), 'utf8')));
    });
  });

  describe('a time limit', () => {
    /** R, S or Z as in proc(5); undefined when there is no such process. One that has ended may wait for its parent. */
    const state = () => {
      try {
        const stat = readFileSync(`/proc/${Number(readFileSync(join(cwd, 'pid'), 'utf8'))}/stat`, 'utf8');
        return /\) (\S)/.exec(stat)?.[1];
      } catch {
        return undefined;
      }
    };
    const limited = { cwd, env: new Map<string, string>(), timeoutMs: 500 };
    it.each([
      ['sources', 'pre_launch_script', sourceScript],
      ['pipes', 'bash_script', runScript],
    ] as const)('ends a script that it %s, with what the script waits for', async (_, name, run) => {
      const script = 'bash -c "echo \\$\\$ > pid; sleep 20"; echo never > never';
      await expect(run(name, script, { ...limited, cwd })).rejects.toMatchObject({
        code: 'SCRIPT_TIMEOUT',
        message: `${name} did not end within 500 ms and was stopped`,
      });
      await expect.poll(state, { timeout: 3000 }).toBeOneOf([undefined, 'Z']);
      expect(existsSync(join(cwd, 'never'))).toBe(false);
    });
    it('does nothing to a script that is faster', async () => {
      expect((await sourceScript('s', 'export A=1', { ...limited, cwd, timeoutMs: 20_000 }))?.get('A')).toBe('1');
    });
  });

  describe('runScript', () => {
    it('does not wait for what the script leaves running', async () => {
      const started = Date.now();
      await runScript('bash_script', 'sleep 20 & echo $! > pid', { cwd, env: new Map() });
      expect(Date.now() - started).toBeLessThan(5000);
      process.kill(Number(readFileSync(join(cwd, 'pid'), 'utf8')));
    });
    it('pipes the script into a bash of its own', async () => {
      await runScript('bash_script', 'echo "$GIVEN" > out\ncat > /dev/null\nthis is eaten by cat\n', {
        cwd,
        env: new Map([['GIVEN', 'x']]),
      });
      expect(readFileSync(join(cwd, 'out'), 'utf8')).toBe('x\n');
      expect(existsSync(join(cwd, 'this'))).toBe(false);
    });
    it('fails with the exit status', async () => {
      await expect(runScript('bash_script', 'exit 3', { cwd, env: new Map() })).rejects.toMatchObject({
        code: 'SCRIPT_FAILED',
        value: '3',
      });
    });
  });
}
