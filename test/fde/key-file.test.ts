import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseDiskKey, readDiskKey } from '../../src/fde/key-file.ts';

const KEY = Uint8Array.from({ length: 32 }, (_, i) => i + 200);
const TEXT = Buffer.from(KEY).toString('hex');

describe('parseDiskKey', () => {
  it('takes raw bytes and hex text with or without a line end', () => {
    for (const form of [KEY, TEXT, TEXT.toUpperCase(), `${TEXT}\n`, `${TEXT}\r\n`]) {
      expect(parseDiskKey(Buffer.from(form), 'stdin')).toEqual(KEY);
    }
  });

  it.each(['', TEXT.slice(1), `${TEXT}0`, `${TEXT}\n\n`, ` ${TEXT}`, `${TEXT.slice(2)}zz`])(
    'refuses %j without showing it',
    (text) => {
      try {
        parseDiskKey(Buffer.from(text), 'stdin');
        expect.unreachable();
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: 'INPUT_INVALID' });
        if (text !== '') expect(JSON.stringify(thrown)).not.toContain(text.slice(0, 16));
      }
    },
  );
});

describe('readDiskKey', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await fs.mkdtemp(join(tmpdir(), 'key-'));
  });
  afterAll(() => fs.rm(dir, { recursive: true }));

  it('reads a private file, and refuses one that others can read', async () => {
    const path = join(dir, 'key');
    await fs.writeFile(path, KEY, { mode: 0o600 });
    expect(await readDiskKey(path)).toEqual(KEY);
    await fs.chmod(path, 0o640);
    await expect(readDiskKey(path)).rejects.toMatchObject({ code: 'INPUT_INVALID', path });
    await expect(readDiskKey(join(dir, 'missing'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });
});
