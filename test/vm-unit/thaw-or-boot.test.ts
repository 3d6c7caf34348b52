import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { BOOTED_INSTEAD, thawOrBoot } from '../../initramfs/vm/thaw-or-boot.ts';

let root: string;
let frozen: string;
let said: string;
const console = {
  append: (bytes: Uint8Array) => {
    said += Buffer.from(bytes).toString();
  },
};

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'thaw-'));
  mkdirSync(join(root, 'guest'));
  frozen = join(root, 'guest/machine');
  writeFileSync(frozen, 'torn');
  said = '';
});
afterEach(() => rmSync(root, { recursive: true }));

/** What was started, and what stderr was told. */
async function start(ways: { frozen?: () => Promise<string>; thaw?: (file: string) => Promise<string> }) {
  const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    const boot = vi.fn(async () => 'booted');
    const all = { frozen: async () => frozen, thaw: async (file: string) => `thawed ${file}`, boot, ...ways };
    const started = await thawOrBoot(all, console);
    expect(boot).toHaveBeenCalledTimes(started === 'booted' ? 1 : 0);
    return { started, told: stderr.mock.calls.map(([text]) => text).join('') };
  } finally {
    stderr.mockRestore();
  }
}

it('thaws the frozen guest and says nothing', async () => {
  expect(await start({})).toEqual({ started: `thawed ${frozen}`, told: '' });
  expect(said).toBe('');
  expect(existsSync(frozen)).toBe(true);
});

it('boots when a frozen guest does not thaw, says why, and removes it so that the next one is frozen again', async () => {
  const thaw = () => Promise.reject(new Error('QEMU has ended'));
  const told = `${BOOTED_INSTEAD}: QEMU has ended\n`;
  expect(await start({ thaw })).toEqual({ started: 'booted', told });
  expect(said).toBe(told);
  expect(existsSync(join(root, 'guest'))).toBe(false);
});

it('boots when no guest can be frozen', async () => {
  const told = `${BOOTED_INSTEAD}: QEMU cannot freeze the guest\n`;
  const none = () => Promise.reject(new Error('QEMU cannot freeze the guest'));
  expect(await start({ frozen: none })).toEqual({ started: 'booted', told });
  expect(existsSync(frozen)).toBe(true);
});

it('fails when the boot fails too', async () => {
  const thaw = () => Promise.reject(new Error('torn'));
  const boot = () => Promise.reject(new Error('no memory'));
  const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  await expect(thawOrBoot({ frozen: async () => frozen, thaw, boot }, console)).rejects.toThrow('no memory');
  stderr.mockRestore();
});
