import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commandLine, parseAnswer, Shell } from '../../initramfs/vm/shell.ts';

describe('the answer line', () => {
  it('carries both outputs and the status', () => {
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    expect(parseAnswer('n1', `n1:7:${base64('ä\n:')}::`)).toEqual({ exit: 7, stdout: 'ä\n:', stderr: '' });
    expect(parseAnswer('n1', `noise n1:0::${base64('e')}:`)).toEqual({ exit: 0, stdout: '', stderr: 'e' });
  });

  it.each(['', 'n1', 'n1:', 'n1:x:::', 'n1:0:', 'n2:0:::'])('is not %j', (line) => {
    expect(parseAnswer('n1', line)).toBeUndefined();
  });

  it('hides the script from the line it travels in', () => {
    expect(commandLine('n', 'echo "; rm -rf /"\n$(x)', 5)).not.toMatch(/rm -rf \/"|\$\(x\)/);
  });
});

// a real bash behind a socket stands for the guest; it differs from the guest in its temporary folder only
describe('a shell behind a socket', () => {
  const dir = mkdtempSync(join(tmpdir(), 'shell-'));
  const path = join(dir, 'socket');
  const guests: ChildProcess[] = [];
  const server = createServer((socket) => {
    const bash = spawn('bash', [], { stdio: 'pipe' });
    guests.push(bash);
    bash.stdin.on('error', () => {}); // one of them is ended in the middle of a command
    socket.on('data', (chunk) => bash.stdin.write(chunk.toString().replaceAll('/run/dev-shell', `${dir}/d`)));
    bash.stdout.pipe(socket);
    socket.on('close', () => bash.kill());
    bash.on('exit', () => socket.destroy());
  });
  let shell: Shell;
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(path, resolve));
    shell = await Shell.open(path);
  });
  afterAll(() => {
    shell.close();
    server.close();
    rmSync(dir, { recursive: true });
  });

  it('returns stdout, stderr and exit status, and empty stdin', async () => {
    expect(await shell.run('cat; echo out; echo err >&2; exit 3')).toEqual({
      exit: 3,
      stdout: 'out\n',
      stderr: 'err\n',
    });
  });

  it('runs commands of several callers one after the other', async () => {
    const answers = await Promise.all([1, 2, 3].map((n) => shell.run(`echo ${n}`)));
    expect(answers.map(({ stdout }) => stdout)).toEqual(['1\n', '2\n', '3\n']);
  });

  it('runs a script to the letter, whatever its characters', async () => {
    const text = `${String.fromCharCode(...Array.from({ length: 126 }, (_, i) => i + 1))}äß€'\\'"`;
    const { stdout } = await shell.run(`cat <<'END' | od -An -tx1\n${text}\nEND`);
    expect(stdout.replaceAll(/\s/g, '')).toBe(Buffer.from(`${text}\n`).toString('hex'));
  });

  it('keeps what a process left behind writes out of later answers', async () => {
    await shell.run('(for i in $(seq 20); do echo late; sleep 0.05; done) &');
    for (let i = 0; i < 5; i++) expect((await shell.run('sleep 0.2; echo mine')).stdout).toBe('mine\n');
  });

  it('ends a command at its limit', async () => {
    expect((await shell.run('sleep 60', 1000)).exit).toBe(124);
  });

  it('says when the guest is gone', async () => {
    const gone = await Shell.open(path);
    await gone.run('true');
    const pending = gone.run('sleep 2');
    guests.at(-1)?.kill();
    await expect(pending).rejects.toThrow(/VM ended/);
    await expect(gone.run('true')).rejects.toThrow(/closed/);
  });
});
