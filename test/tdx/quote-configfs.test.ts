import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DstackError } from '../../src/errors.ts';
import { takeQuote } from '../../src/tdx/quote.ts';
import type { TdxMachine } from '../../src/tdx/tdx-machine.ts';
import { FakeTsm, type FakeTsmOptions } from './fake-tsm.ts';

const REPORT_DATA = Uint8Array.from({ length: 64 }, (_, index) => index);
let root: string;
let sleeps: number[];

// a fresh root a test: the room remembers per process where making an entry failed
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tsm-'));
  sleeps = [];
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true });
});

function machine(options: FakeTsmOptions = {}) {
  const fake = new FakeTsm({ reportDir: `${root}/sys/kernel/config/tsm/report`, ...options });
  const system: TdxMachine = {
    root,
    files: fake,
    sleep: async (ms) => {
      sleeps.push(ms);
    },
  };
  return { fake, system, entry: `${fake.reportDir}/com.intel.dcap` };
}

async function outcome(promise: Promise<Uint8Array>): Promise<Uint8Array | string> {
  try {
    return await promise;
  } catch (thrown) {
    return thrown instanceof DstackError ? thrown.code : `foreign error ${String(thrown)}`;
  }
}

describe('configfs procedure', () => {
  it('makes the entry, locks, writes, reads once, compares generations, unlocks', async () => {
    const { fake, system, entry } = machine();
    const quote = await takeQuote(REPORT_DATA, system);
    expect(quote.length).toBe(2000);
    expect(quote.slice(0, 64)).toEqual(REPORT_DATA);
    expect(fake.calls).toEqual([
      `read ${entry}/provider`,
      `mkdir ${entry}`,
      `read ${entry}/provider`,
      `lock ${entry}/inblob`,
      `read ${entry}/generation`,
      `write ${entry}/inblob`,
      `read ${entry}/generation`,
      `read ${entry}/outblob`,
      `read ${entry}/generation`,
      `unlock ${entry}/inblob`,
    ]);
    await takeQuote(REPORT_DATA, system); // the entry stays
    expect(fake.calls.filter((call) => call.startsWith('mkdir'))).toHaveLength(1);
  });

  it('uses an entry that another process made at the same time', async () => {
    const { fake, system, entry } = machine();
    await fake.makeDirectory(entry);
    fake.fail('read provider', 'ENOENT'); // our first look came too early
    expect(await outcome(takeQuote(REPORT_DATA, system))).toBeInstanceOf(Uint8Array);
  });

  it('gives up for the whole process after the entry could not be made', async () => {
    const { fake, system } = machine();
    fake.fail('mkdir com.intel.dcap', 'EPERM'); // a second mkdir would work, but must not be tried
    expect(await outcome(takeQuote(REPORT_DATA, system))).toBe('CONFIGFS_UNAVAILABLE');
    expect(await outcome(takeQuote(REPORT_DATA, system))).toBe('CONFIGFS_UNAVAILABLE');
    expect(fake.calls.filter((call) => call.startsWith('mkdir'))).toHaveLength(1);
  });

  it('refuses the entry of another provider', async () => {
    const { system } = machine({ provider: 'sev_guest' });
    expect(await outcome(takeQuote(REPORT_DATA, system))).toBe('CONFIGFS_UNAVAILABLE');
  });

  it('asks again when the attributes are busy, with pauses of 10 s', async () => {
    const { fake, system } = machine();
    fake.fail('write inblob', 'EBUSY', 'EBUSY');
    fake.fail('read outblob', 'ETIMEDOUT', 'EINTR');
    expect(await outcome(takeQuote(REPORT_DATA, system))).toBeInstanceOf(Uint8Array);
    expect(sleeps.filter((ms) => ms === 10_000)).toHaveLength(4);
  });

  it.each([
    ['write inblob', ['EBUSY', 'EBUSY', 'EBUSY'], 'QUOTE_BUSY'],
    ['write inblob', ['EIO'], 'QUOTE_UNAVAILABLE'],
    ['read outblob', ['EBUSY', 'EBUSY', 'EBUSY'], 'QUOTE_BUSY'],
    ['read outblob', ['ETIMEDOUT', 'ETIMEDOUT', 'ETIMEDOUT'], 'QUOTE_TIMEOUT'],
    ['read outblob', ['EIO'], 'QUOTE_UNAVAILABLE'],
    ['read generation', ['EIO'], 'CONFIGFS_UNAVAILABLE'],
    ['lock inblob', ['EACCES'], 'CONFIGFS_UNAVAILABLE'],
  ])('ends when %s fails with %j', async (call, codes, expected) => {
    const { fake, system, entry } = machine();
    await fake.makeDirectory(entry);
    fake.fail(call, ...codes);
    expect(await outcome(takeQuote(REPORT_DATA, system))).toBe(expected);
    const locked = fake.calls.some((line) => line.startsWith('read') && line.endsWith('generation'));
    expect(fake.calls.some((line) => line.startsWith('unlock'))).toBe(locked);
  });

  it.each([
    ['between our write and the first look', 'write inblob'],
    ['while the quote is made', 'read outblob'],
  ])('notices a stranger who writes %s', async (_, moment) => {
    const { fake, system, entry } = machine();
    await fake.makeDirectory(entry);
    fake.after = (call) => {
      if (call === moment) fake.writeInblob(`${entry}/inblob`, new Uint8Array(64).fill(9));
    };
    expect(await outcome(takeQuote(REPORT_DATA, system))).toBe('QUOTE_BUSY');
  });

  it('notices that the write was not counted, after 5 s', async () => {
    const { fake, system, entry } = machine();
    await fake.makeDirectory(entry);
    fake.writeInblob = () => {};
    expect(await outcome(takeQuote(REPORT_DATA, system))).toBe('QUOTE_BUSY');
    expect(sleeps.reduce((sum, ms) => sum + ms, 0)).toBeGreaterThanOrEqual(5000);
  });

  it.each([
    [0, 'QUOTE_EMPTY'],
    [1020, 'QUOTE_INVALID'],
    [8192, 'QUOTE_INVALID'],
    [9000, 'QUOTE_INVALID'],
  ])('refuses a quote of %i bytes', async (size, expected) => {
    const { system } = machine({ quote: () => new Uint8Array(size) });
    expect(await outcome(takeQuote(REPORT_DATA, system))).toBe(expected);
  });

  it('serves many callers of one process one after the other, each with its own data', async () => {
    const { system } = machine({
      quote: async (inblob) => {
        await new Promise((resolve) => setImmediate(resolve));
        return Uint8Array.from({ length: 1100 }, (_, index) => inblob[index % 64] ?? 0);
      },
    });
    const all = await Promise.all(
      Array.from({ length: 8 }, (_, index) => {
        const data = Buffer.alloc(64, index);
        const quote = takeQuote(data, system);
        data.fill(0xee); // the caller's buffer is its own again
        return quote;
      }),
    );
    expect(all.map((quote) => quote[0])).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('keeps two processes apart by the lock', async () => {
    const { fake, system, entry } = machine();
    await fake.makeDirectory(entry);
    const release = await fake.lock(`${entry}/inblob`);
    const waiting = takeQuote(REPORT_DATA, system);
    await new Promise((resolve) => setImmediate(resolve));
    fake.writeInblob(`${entry}/inblob`, new Uint8Array(64));
    await release();
    expect(await outcome(waiting)).toBeInstanceOf(Uint8Array);
  });

  it('one failure does not spoil the next call', async () => {
    const { fake, system, entry } = machine();
    await fake.makeDirectory(entry);
    fake.fail('read outblob', 'EIO');
    const [first, second] = await Promise.all([
      outcome(takeQuote(REPORT_DATA, system)),
      outcome(takeQuote(REPORT_DATA, system)),
    ]);
    expect(first).toBe('QUOTE_UNAVAILABLE');
    expect(second).toBeInstanceOf(Uint8Array);
  });
});

describe('choice of the method', () => {
  it('refuses report data of another size', async () => {
    const { system } = machine();
    expect(await outcome(takeQuote(new Uint8Array(63), system))).toBe('REPORT_DATA_INVALID');
  });

  it('follows the override alone', async () => {
    const { fake, system } = machine();
    const mine = `${fake.reportDir}/mine`;
    await fake.makeDirectory(mine);
    vi.stubEnv('DCAP_TDX_QUOTE_CONFIGFS_PATH', mine);
    expect(await outcome(takeQuote(REPORT_DATA, system))).toBeInstanceOf(Uint8Array);
    expect(fake.calls.every((call) => call.includes('/mine'))).toBe(true);
  });

  it.each(['', 'relative/path', `/${'x'.repeat(240)}`, '/nowhere'])('refuses the override %j', async (value) => {
    const { system } = machine();
    vi.stubEnv('DCAP_TDX_QUOTE_CONFIGFS_PATH', value);
    expect(await outcome(takeQuote(REPORT_DATA, system))).toBe('CONFIGFS_UNAVAILABLE');
  });

  it('says so when there is no way at all', async () => {
    const { system } = machine({ reportDir: '/elsewhere' });
    expect(await outcome(takeQuote(REPORT_DATA, system))).toBe('QUOTE_UNAVAILABLE');
  });
});
