import { describe, expect, it } from 'vitest';
import type { DstackError } from '../../src/errors.ts';
import { installed, quoteCommand, run } from '../../src/sys/exec.ts';

const failure = (work: Promise<unknown>): Promise<DstackError> =>
  work.then(
    () => expect.fail('expected a failure'),
    (thrown) => thrown as DstackError,
  );

describe('run', () => {
  it('captures both streams and hands stdin over', async () => {
    const done = await run('bash', ['-c', 'cat; echo oops >&2'], { stdin: 'from stdin' });
    expect(done).toEqual({ exit: 0, stdout: 'from stdin', stderr: 'oops\n' });
  });

  it('gives the child a clean environment', async () => {
    process.env['DSTACK_TEST_LEAK'] = 'secret';
    const done = await run('bash', ['-c', 'env'], { env: { WANTED: 'yes' } });
    delete process.env['DSTACK_TEST_LEAK'];
    expect(done.stdout).toContain('WANTED=yes');
    expect(done.stdout).not.toContain('DSTACK_TEST_LEAK');
    expect(done.stdout).not.toMatch(/^BUN_/m);
  });

  it('names the command, the status and the last lines of stderr on failure', async () => {
    const thrown = await failure(run('bash', ['-c', 'for i in $(seq 40); do echo "line $i" >&2; done; exit 7']));
    expect(thrown.code).toBe('COMMAND_FAILED');
    expect(thrown.message).toContain('failed with exit status 7');
    expect(thrown.message).toContain('`bash -c ');
    expect(String(thrown.cause)).toContain('line 40');
    expect(String(thrown.cause)).not.toContain('line 28\n');
  });

  it('never shows stdin in an error', async () => {
    const thrown = await failure(run('bash', ['-c', 'exit 1'], { stdin: 'hunter2' }));
    expect(JSON.stringify(thrown.toJSON())).not.toContain('hunter2');
  });

  it('accepts the statuses it was told to accept', async () => {
    expect((await run('bash', ['-c', 'exit 1'], { ok: [0, 1] })).exit).toBe(1);
  });

  it('ends a program at its time limit', async () => {
    const thrown = await failure(run('bash', ['-c', 'sleep 30'], { timeoutMs: 200 }));
    expect(thrown.code).toBe('COMMAND_TIMEOUT');
  });

  it('knows 0 as no time limit', async () => {
    expect((await run('bash', ['-c', 'sleep 0.05; echo done'], { timeoutMs: 0 })).stdout).toBe('done\n');
  });

  it('says which program is missing', async () => {
    expect(await installed('nerdctl')).toBe(false);
    const thrown = await failure(run('nerdctl', ['version']));
    expect(thrown.code).toBe('COMMAND_NOT_FOUND');
    expect(thrown.message).toBe('program nerdctl is not installed');
  });

  it('reports output line by line, the unfinished last line included', async () => {
    const lines: string[] = [];
    await run('bash', ['-c', 'printf "a\\nb"; printf "c\\n" >&2'], {
      onLine: (line, stream) => lines.push(`${stream} ${line}`),
    });
    expect(lines.toSorted()).toEqual(['stderr c', 'stdout a', 'stdout b']);
  });

  it('keeps only the first megabytes of a flood, and reads it to its end', async () => {
    const done = await run('bash', ['-c', 'head -c 9000000 /dev/zero | tr "\\0" x; exit 3'], { ok: [3] });
    expect(done.stdout.length).toBe(4 * 1024 * 1024);
    expect(done.exit).toBe(3);
  });

  it('does not wait for a background process that keeps the pipes open', async () => {
    const started = Date.now();
    const done = await run('bash', ['-c', 'sleep 20 & echo started']);
    expect(done.stdout).toBe('started\n');
    expect(Date.now() - started).toBeLessThan(15_000);
  });

  it('keeps no pipe of a background process: nothing is left that would hold this process', async () => {
    const pipes = () => process.getActiveResourcesInfo().filter((name) => name === 'PipeWrap').length;
    const before = pipes();
    await run('bash', ['-c', 'sleep 20 & echo hi']);
    await new Promise((resolve) => setImmediate(resolve));
    expect(pipes()).toBe(before);
  });

  it('survives a program that does not read its stdin', async () => {
    expect((await run('bash', ['-c', 'exec <&-; true'], { stdin: 'x'.repeat(1_000_000) })).exit).toBe(0);
  });

  it('does not look at the PATH of the caller', async () => {
    const before = process.env['PATH'];
    process.env['PATH'] = '/nonexistent';
    try {
      expect((await run('bash', ['-c', 'echo found'])).stdout).toBe('found\n');
    } finally {
      process.env['PATH'] = before;
    }
  });
});

describe('quoteCommand', () => {
  it('quotes what a shell would touch', () => {
    expect(quoteCommand(['mount', '-o', 'ro,noload', "it's here"])).toBe("mount -o ro,noload 'it'\\''s here'");
  });
});
