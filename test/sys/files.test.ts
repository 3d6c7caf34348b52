import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ifExists, makeLink, readLimited, utf8, wipe, writeAtomic } from '../../src/sys/files.ts';

const folder = mkdtempSync(join(tmpdir(), 'files-'));
const at = (name: string) => join(folder, name);

describe('readLimited', () => {
  it('reads up to the limit, the limit included', async () => {
    writeFileSync(at('exact'), Buffer.alloc(100_000, 7));
    expect(await readLimited(at('exact'), 100_000)).toEqual(new Uint8Array(100_000).fill(7));
    await expect(readLimited(at('exact'), 99_999)).rejects.toMatchObject({ code: 'FILE_TOO_LARGE', path: at('exact') });
  });

  it('refuses a symbolic link, a folder, a device and a pipe without hanging', async () => {
    writeFileSync(at('target'), 'x');
    symlinkSync(at('target'), at('link'));
    mkdirSync(at('folder'));
    execFileSync('mkfifo', [at('pipe')]);
    for (const name of [at('link'), at('folder'), '/dev/zero', at('pipe')]) {
      await expect(readLimited(name, 10)).rejects.toMatchObject({ code: 'FILE_NOT_REGULAR' });
    }
  });

  it('says when the file is missing', async () => {
    await expect(readLimited(at('nowhere'), 10)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
    expect(await ifExists(() => readLimited(at('nowhere'), 10))).toBeUndefined();
  });

  it('bounds a file whose size the kernel reports as zero', async () => {
    await expect(readLimited('/proc/self/maps', 16)).rejects.toMatchObject({ code: 'FILE_TOO_LARGE' });
  });
});

describe('writeAtomic', () => {
  it('replaces a file, sets the exact mode and leaves nothing else behind', async () => {
    mkdirSync(at('atomic'));
    const path = at('atomic/key');
    writeFileSync(path, 'a much longer older content', { mode: 0o644 });
    const before = process.umask(0o077);
    await writeAtomic(path, 'new', 0o640);
    process.umask(before);
    expect(readFileSync(path, 'utf8')).toBe('new');
    expect(statSync(path).mode & 0o777).toBe(0o640);
    expect(readdirSync(at('atomic'))).toEqual(['key']);
  });

  it('does not follow a link at the target: the link itself is replaced', async () => {
    writeFileSync(at('victim'), 'untouched');
    symlinkSync(at('victim'), at('trap'));
    await writeAtomic(at('trap'), 'mine', 0o600);
    expect(readFileSync(at('victim'), 'utf8')).toBe('untouched');
    expect(readFileSync(at('trap'), 'utf8')).toBe('mine');
  });

  it('names the path when it cannot write, and leaves no temporary file', async () => {
    await expect(writeAtomic(at('no/such/folder'), 'x', 0o600)).rejects.toMatchObject({ code: 'FILE_IO' });
    expect(existsSync(at('no'))).toBe(false);
  });
});

it('makeLink replaces an older link', async () => {
  await makeLink('one', at('current'));
  await makeLink('two', at('current'));
  expect(execFileSync('readlink', [at('current')], { encoding: 'utf8' })).toBe('two\n');
});

it('utf8 refuses malformed bytes', () => {
  expect(utf8(new TextEncoder().encode('ä'), 'x')).toBe('ä');
  expect(() => utf8(new Uint8Array([0xc3, 0x28]), 'x')).toThrowError(/not UTF-8/);
});

it('wipe overwrites', () => {
  const secret = new Uint8Array([1, 2, 3]);
  wipe(secret, undefined);
  expect(secret).toEqual(new Uint8Array(3));
});
