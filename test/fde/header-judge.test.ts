/** Every value of a header in its odd forms, judged by the real cryptsetup: what it takes wrongly, the check must refuse. */
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type DiskMachine, realDiskMachine } from '../../src/fde/disk-machine.ts';
import { createLuks } from '../../src/fde/luks.ts';
import { checkLuksHeader } from '../../src/fde/luks-header.ts';
import { run } from '../../src/sys/exec.ts';
import { judge, judgeVersion, type Verdict } from './header-judge.ts';
import { variants } from './header-variants.ts';

const UUID = '37230443-192d-49f8-98c1-9964a91f8a1f';
const KEY = new Uint8Array(32).fill(7);
const KEYS = { right: '07'.repeat(32), wrong: '08'.repeat(32) };
/** Both copies and the key slot. */
const USED = 288 * 1024;
const TIME_LIMIT_MS = 300_000;

/** Versions that compare nothing when the digest or its salt has another length than it should have. */
const FAULTY = ['2.6.1', '2.7.5'];

const { version = '', missing } = await judgeVersion();
const reason = missing ?? `cryptsetup ${version}`;

function refused(bytes: Uint8Array): boolean {
  try {
    checkLuksHeader(bytes);
    return false;
  } catch {
    return true;
  }
}
const names = (list: readonly Verdict[]): string[] => list.map(({ name }) => name);

/** What createLuks writes to a disk, without a mount and without a device-mapper. */
async function ownHeader(): Promise<Uint8Array> {
  const machine: DiskMachine = {
    ...realDiskMachine,
    isBlockDevice: async () => true,
    run: async (program, args, options) =>
      args[0] === 'luksFormat' ? run(program, args, options) : { exit: 0, stdout: '', stderr: '' },
  };
  const dir = await fs.mkdtemp(join(tmpdir(), 'own-'));
  try {
    const path = join(dir, 'disk');
    await fs.writeFile(path, '');
    await fs.truncate(path, 24 * 1024 * 1024);
    await createLuks(path, KEY, UUID, machine);
    return new Uint8Array(await fs.readFile(path)).subarray(0, USED);
  } finally {
    await fs.rm(dir, { recursive: true });
  }
}

describe.skipIf(missing !== undefined)(`headers judged by the real thing (${reason})`, () => {
  let good: Uint8Array;
  let all: Verdict[] = [];
  let self: Verdict | undefined;
  beforeAll(async () => {
    good = await ownHeader();
    [self, ...all] = await judge([{ name: 'unchanged', bytes: good }, ...variants(good)], KEYS);
    const count = (which: (verdict: Verdict) => boolean): number => all.filter(which).length;
    console.info(
      `cryptsetup ${version}, ${all.length} variants: ${count(({ wrong }) => wrong === 'opened')} opened with a wrong key, ` +
        `${count(({ wrong, right }) => wrong === 'refused' && right === 'opened')} with the right key alone, ` +
        `${count(({ right }) => right === 'refused')} refused, ${count(({ right }) => right === 'stalled')} stalled; ` +
        `the check lets ${count(({ bytes }) => !refused(bytes))} pass`,
    );
  }, TIME_LIMIT_MS);

  it('opens our own header with its key alone', () => {
    expect(self).toMatchObject({ wrong: 'refused', right: 'opened' });
    expect(refused(good)).toBe(false);
  });

  it('what opens with a wrong key is refused by the check', () => {
    const open = all.filter(({ wrong }) => wrong === 'opened');
    if (FAULTY.includes(version)) expect(open.length).toBeGreaterThan(20);
    expect(names(open.filter(({ bytes }) => !refused(bytes)))).toEqual([]);
  });

  it('what stalls is refused by the check', () => {
    const stalled = all.filter(({ wrong, right }) => wrong === 'stalled' || right === 'stalled');
    expect(stalled.length).toBeGreaterThan(0);
    expect(names(stalled.filter(({ bytes }) => !refused(bytes)))).toEqual([]);
  });

  it('what the check lets pass opens with its key, or with none where it says another salt, digest or place of the slot', () => {
    const passed = all.filter(({ bytes }) => !refused(bytes));
    expect(passed.length).toBeGreaterThan(10);
    const closed = passed.filter(({ right }) => right !== 'opened');
    expect(names(closed).sort()).toEqual([
      'digests.0.digest: 32 other bytes',
      'digests.0.salt: 32 other bytes',
      'keyslots.0.area.offset: "36864"',
      'keyslots.0.kdf.salt: 32 other bytes',
    ]);
  });

  it('a third copy inside the first is what cryptsetup finds, so a wrong checksum is refused', () => {
    const third = all.filter(({ name }) => name.includes('a third copy'));
    expect(third.length).toBe(1);
    expect(third[0]?.right).toBe('opened');
    expect(third.every(({ bytes }) => refused(bytes))).toBe(true);
  });
});
