import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { detectPlatform, detectTee, tdxAvailable } from '../../src/tdx/platform.ts';
import { realTdxMachine } from '../../src/tdx/tdx-machine.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'platform-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true });
});

function file(path: string, text = ''): void {
  const full = join(root, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, text);
}

const PRODUCT = 'sys/class/dmi/id/product_name';
const VENDOR = 'sys/class/dmi/id/sys_vendor';

describe('platform', () => {
  it.each([
    ['dstack\n', 'dstack'],
    ['qemu', 'dstack'],
    ['Google Compute Engine\n', 'gcp'],
    ['Nitro Enclave\n', 'nitro-enclave'],
    ['Standard PC (Q35 + ICH9, 2009)\n', 'unknown'],
  ])('product %j is %s', (product, platform) => {
    file(PRODUCT, product);
    expect(detectPlatform({ ...realTdxMachine, root })).toBe(platform);
  });

  it('is known by the vendor on Amazon EC2', () => {
    file(PRODUCT, 't3.metal\n');
    file(VENDOR, 'Amazon EC2\n');
    expect(detectPlatform({ ...realTdxMachine, root })).toBe('aws-ec2');
  });

  it('has the security module device above all', () => {
    file(PRODUCT, 'dstack\n');
    file('dev/nsm');
    expect(detectPlatform({ ...realTdxMachine, root })).toBe('nitro-enclave');
  });

  it('is unknown without DMI', () => {
    expect(detectPlatform({ ...realTdxMachine, root })).toBe('unknown');
  });
});

describe('TDX', () => {
  const REPORT = 'sys/kernel/config/tsm/report';

  it.each([
    ['the device', 'dev/tdx_guest', ''],
    ['the default report entry', `${REPORT}/com.intel.dcap/provider`, 'tdx_guest\n'],
    ['any report entry', `${REPORT}/something/provider`, 'tdx_guest\n'],
  ])('is known by %s', (_, path, text) => {
    file(path, text);
    expect(tdxAvailable({ ...realTdxMachine, root })).toBe(true);
    expect(detectTee({ ...realTdxMachine, root })).toEqual({ variant: 'dstack-tdx' });
  });

  it('is not another provider', () => {
    file(`${REPORT}/com.intel.dcap/provider`, 'sev_guest\n');
    expect(tdxAvailable({ ...realTdxMachine, root })).toBe(false);
  });

  it('is decided by the override alone', () => {
    file(`${REPORT}/com.intel.dcap/provider`, 'tdx_guest\n');
    file('mine/provider', 'tdx_guest\n');
    vi.stubEnv('DCAP_TDX_QUOTE_CONFIGFS_PATH', join(root, 'other'));
    expect(tdxAvailable({ ...realTdxMachine, root })).toBe(false);
    vi.stubEnv('DCAP_TDX_QUOTE_CONFIGFS_PATH', join(root, 'mine'));
    expect(tdxAvailable({ ...realTdxMachine, root })).toBe(true);
  });

  it('is missed with a clear error', () => {
    expect(() => detectTee({ ...realTdxMachine, root })).toThrowError(/no TDX device found: neither \/dev\/tdx_guest/);
  });

  it('of other platforms is not served', () => {
    file(PRODUCT, 'Google Compute Engine\n');
    file('dev/tdx_guest');
    expect(() => detectTee({ ...realTdxMachine, root })).toThrowError(/platform gcp is not served/);
  });
});
