import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readTextSync } from '../../src/sys/read-sync.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'read-sync-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const file = (content: string | Uint8Array): string => {
  const path = join(dir, 'file');
  writeFileSync(path, content);
  return path;
};
const code = (path: string, limit = 10): string | undefined => {
  try {
    readTextSync(path, limit);
  } catch (thrown) {
    return (thrown as { code: string }).code;
  }
  return undefined;
};

describe('reading a text without promises', () => {
  it.each(['', 'a', 'ä€', '0123456789'])('gives %j back whole', (text) =>
    expect(readTextSync(file(text), 10)).toBe(text),
  );
  it('reads more than one chunk, up to the limit and no further', () => {
    const text = 'x'.repeat(200_000);
    expect(readTextSync(file(text), text.length)).toBe(text);
    expect(code(file(text), text.length - 1)).toBe('FILE_TOO_LARGE');
  });
  it('believes what it reads and not the size that is told', () => {
    // files of the kernel have no size
    expect(readTextSync('/proc/sys/kernel/ostype', 100)).toBe('Linux\n');
    expect(code('/proc/self/status', 100)).toBe('FILE_TOO_LARGE');
  });
  it('knows no file where there is none', () => {
    expect(readTextSync(join(dir, 'none'), 10)).toBeUndefined();
    expect(readTextSync(join(dir, 'none/below'), 10)).toBeUndefined();
  });
  it('takes no link, no folder and nothing that could block', () => {
    symlinkSync(file('a'), join(dir, 'link'));
    mkdirSync(join(dir, 'folder'));
    execFileSync('mkfifo', [join(dir, 'fifo')]);
    for (const name of ['link', 'folder', 'fifo']) expect(code(join(dir, name))).toBe('FILE_NOT_REGULAR');
  });
  it('takes no text that is not UTF-8', () => expect(code(file(Uint8Array.of(0xff)))).toBe('DOCUMENT_INVALID'));
});
