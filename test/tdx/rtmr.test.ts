import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { toHex } from '../../src/codec/hex.ts';
import { type ErrnoError, setNative } from '../../src/sys/native.ts';
import { extend } from '../../src/tdx/events.ts';
import { REPORT_OFFSET, TDX_CMD_GET_REPORT0, takeReport } from '../../src/tdx/report.ts';
import { extendRtmr, readRtmr, TDX_CMD_EXTEND_RTMR } from '../../src/tdx/rtmr.ts';
import { realTdxMachine } from '../../src/tdx/tdx-machine.ts';
import { rejection } from '../failure.ts';
import vectors from '../vectors/measurement.json' with { type: 'json' };
import { fakeNative } from './fake-native.ts';
import { FakeTsm } from './fake-tsm.ts';

const DIGEST = new Uint8Array(48).fill(0x5a);
const ONCE = extend(new Uint8Array(48), DIGEST);
let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'rtmr-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  setNative(undefined);
  rmSync(root, { recursive: true });
});

/** A TDX device behind the two ioctls of its ABI. */
function device() {
  mkdirSync(join(root, 'dev'), { recursive: true });
  writeFileSync(join(root, 'dev/tdx_guest'), '');
  const registers: Uint8Array[] = [0, 1, 2, 3].map(() => new Uint8Array(48));
  const refuse = (code: string): ErrnoError => Object.assign(new Error(`ioctl: ${code}`), { code, errno: 22 });
  setNative(
    fakeNative({
      ioctl(_fd, request, argument) {
        if (request === TDX_CMD_EXTEND_RTMR) {
          if (argument.length !== 49) throw refuse('EFAULT');
          const index = argument[48] ?? 0;
          if (index < 2 || index > 3) throw refuse('EINVAL');
          registers[index] = extend(registers[index] ?? new Uint8Array(48), argument.slice(0, 48));
        } else if (request === TDX_CMD_GET_REPORT0) {
          if (argument.length !== 1088) throw refuse('EFAULT');
          const report = argument.subarray(64);
          report.set(argument.subarray(0, 64), REPORT_OFFSET.reportData);
          registers.forEach((register, index) => {
            report.set(register, REPORT_OFFSET.rtmr0 + 48 * index);
          });
        } else throw refuse('ENOTTY');
      },
    }),
  );
  return registers;
}

describe('numbers of the interface', () => {
  it('are those of the kernel header', () => {
    expect(`0x${TDX_CMD_GET_REPORT0.toString(16)}`).toBe(vectors.linux_abi.TDX_CMD_GET_REPORT0);
    expect(`0x${TDX_CMD_EXTEND_RTMR.toString(16)}`).toBe(vectors.linux_abi.TDX_CMD_EXTEND_RTMR);
  });
});

describe('measurement attributes', () => {
  const machine = () => {
    const fake = new FakeTsm({ measurementsDir: `${root}/sys/devices/virtual/misc/tdx_guest/measurements` });
    return { fake, system: { ...realTdxMachine, root, files: fake } };
  };

  it('extend with one write and read back', async () => {
    const { fake, system } = machine();
    await extendRtmr(3, DIGEST, system);
    expect(fake.calls).toEqual([`write ${fake.measurementsDir}/rtmr3:sha384`]);
    expect(await readRtmr(3, system)).toEqual(ONCE);
    expect(await readRtmr(2, system)).toEqual(new Uint8Array(48));
  });

  it.each([
    ['EINVAL', 'RTMR_INDEX_INVALID'],
    ['EPERM', 'RTMR_PERMISSION'],
    ['EACCES', 'RTMR_PERMISSION'],
    ['EIO', 'RTMR_EXTEND_FAILED'],
    ['ENOENT', 'RTMR_EXTEND_FAILED'],
  ])('%s becomes %s and names register and path', async (errno, code) => {
    const { fake, system } = machine();
    device(); // is there, but there is no fallback
    fake.fail('write rtmr3:sha384', errno);
    const thrown = await rejection(extendRtmr(3, DIGEST, system));
    expect(thrown.code).toBe(code);
    expect(thrown.message).toContain(`RTMR3 through ${fake.measurementsDir}/rtmr3:sha384`);
  });

  it('the kernel refuses the registers of the firmware', async () => {
    const { system } = machine();
    expect((await rejection(extendRtmr(0, DIGEST, system))).code).toBe('RTMR_PERMISSION');
  });

  it.each([-1, 4, 1.5, Number.NaN])('refuses index %s itself', async (index) => {
    const { fake, system } = machine();
    expect((await rejection(extendRtmr(index, DIGEST, system))).code).toBe('RTMR_INDEX_INVALID');
    expect((await rejection(readRtmr(index, system))).code).toBe('RTMR_INDEX_INVALID');
    expect(fake.calls).toEqual([]);
  });

  it('refuses a digest of another size', async () => {
    const { system } = machine();
    expect((await rejection(extendRtmr(3, new Uint8Array(32), system))).code).toBe('RTMR_EXTEND_FAILED');
  });

  it('refuses a register that is not 48 bytes', async () => {
    const { fake, system } = machine();
    fake.registers[3] = new Uint8Array(32);
    expect((await rejection(readRtmr(3, system))).code).toBe('RTMR_READ_FAILED');
  });
});

describe('override', () => {
  it('names the directory', async () => {
    const dir = join(root, 'measurements');
    vi.stubEnv('DCAP_TDX_RTMR_SYSFS_PATH', dir);
    const fake = new FakeTsm({ measurementsDir: dir });
    await extendRtmr(2, DIGEST, { ...realTdxMachine, root, files: fake });
    expect(fake.registers[2]).toEqual(ONCE);
  });

  it.each(['', 'relative', '/nowhere', `/${'x'.repeat(239)}`])(
    '%j is an error, not a reason to fall back',
    async (value) => {
      device();
      vi.stubEnv('DCAP_TDX_RTMR_SYSFS_PATH', value);
      expect((await rejection(extendRtmr(3, DIGEST, { ...realTdxMachine, root }))).code).toBe('RTMR_PATH_INVALID');
      expect((await rejection(readRtmr(3, { ...realTdxMachine, root }))).code).toBe('RTMR_PATH_INVALID');
    },
  );
});

describe('TDX device', () => {
  it('extends by ioctl and reads from a TD report', async () => {
    const registers = device();
    await extendRtmr(3, DIGEST, { ...realTdxMachine, root });
    expect(registers[3]).toEqual(ONCE);
    expect(await readRtmr(3, { ...realTdxMachine, root })).toEqual(ONCE);
    expect((await rejection(extendRtmr(1, DIGEST, { ...realTdxMachine, root }))).code).toBe('RTMR_INDEX_INVALID');
  });

  it('reports bind their report data', async () => {
    device();
    const report = await takeReport(new Uint8Array(64).fill(3), { ...realTdxMachine, root });
    expect(toHex(report.reportData)).toBe('03'.repeat(64));
    expect(report.raw.length).toBe(1024);
    expect((await rejection(takeReport(new Uint8Array(32), { ...realTdxMachine, root }))).code).toBe(
      'REPORT_DATA_INVALID',
    );
  });

  it('is named when it does not exist', async () => {
    const thrown = await rejection(extendRtmr(3, DIGEST, { ...realTdxMachine, root }));
    expect(thrown.code).toBe('RTMR_EXTEND_FAILED');
    expect(thrown.path).toBe(join(root, 'dev/tdx_guest'));
  });
});
