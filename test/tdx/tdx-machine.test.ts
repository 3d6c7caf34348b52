import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { setNative } from '../../src/sys/native.ts';
import { kernelFiles } from '../../src/tdx/tdx-machine.ts';
import { fakeNative } from './fake-native.ts';

let root: string;
const path = (name: string): string => join(root, name);

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'system-'));
  writeFileSync(path('attribute'), 'ten bytes!');
  setNative(fakeNative());
});
afterEach(() => {
  setNative(undefined);
  rmSync(root, { recursive: true });
});

describe('kernel files', () => {
  it('reads once, at most what was asked for', async () => {
    expect(Buffer.from(await kernelFiles.read(path('attribute'), 4)).toString()).toBe('ten ');
    expect(await kernelFiles.read(path('attribute'), 8192)).toHaveLength(10);
  });

  it('writes over the start and neither creates nor truncates', async () => {
    await kernelFiles.write(path('attribute'), Buffer.from('six'));
    expect(readFileSync(path('attribute'), 'utf8')).toBe('six bytes!');
    await expect(kernelFiles.write(path('missing'), Buffer.from('x'))).rejects.toMatchObject({ code: 'ENOENT' });
    expect(existsSync(path('missing'))).toBe(false);
  });

  it('knows directories', async () => {
    expect(await kernelFiles.isDirectory(root)).toBe(true);
    expect(await kernelFiles.isDirectory(path('attribute'))).toBe(false);
    expect(await kernelFiles.isDirectory(path('missing'))).toBe(false);
    await kernelFiles.makeDirectory(path('made'));
    await expect(kernelFiles.makeDirectory(path('made'))).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(kernelFiles.makeDirectory(path('a/b'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('locks one at a time', async () => {
    const order: string[] = [];
    const release = await kernelFiles.lock(path('attribute'));
    const second = kernelFiles.lock(path('attribute')).then(async (free) => {
      order.push('second');
      await free();
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    order.push('first');
    await release();
    await second;
    expect(order).toEqual(['first', 'second']);
  });
});
