/** Which of the two ways a quote takes. The way through vsock itself needs Bun: quote-qgs.bun.test.ts. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { setNative } from '../../src/sys/native.ts';
import { takeQuote } from '../../src/tdx/quote.ts';
import { realTdxMachine } from '../../src/tdx/tdx-machine.ts';
import { fakeNative } from './fake-native.ts';
import { errno, FakeTsm } from './fake-tsm.ts';

const REPORT_DATA = new Uint8Array(64);
let root: string;
let connects: number[];
let port = 4100;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'choice-'));
  mkdirSync(join(root, 'etc'));
  mkdirSync(join(root, 'dev'));
  writeFileSync(join(root, 'dev/tdx_guest'), '');
  port += 1; // a service that was not reached is left alone for a minute
  writeFileSync(join(root, 'etc/tdx-attest.conf'), `port = ${port}\n`);
  connects = [];
  setNative(
    fakeNative({
      ioctl() {},
      async vsockConnect(_cid, to, timeoutMs) {
        connects.push(timeoutMs);
        expect(to).toBe(port);
        throw errno('ECONNRESET', 'connect');
      },
    }),
  );
});
afterEach(() => {
  vi.unstubAllEnvs();
  setNative(undefined);
  rmSync(root, { recursive: true });
});

const configfs = () => new FakeTsm({ reportDir: `${root}/sys/kernel/config/tsm/report` });

it('asks the configured service first and goes on to configfs when it cannot be reached', async () => {
  const fake = configfs();
  expect((await takeQuote(REPORT_DATA, { ...realTdxMachine, root, files: fake })).length).toBe(2000);
  expect(connects).toEqual([2000]);
  await takeQuote(REPORT_DATA, { ...realTdxMachine, root, files: fake });
  expect(connects, 'a service that was not there is not asked again at once').toHaveLength(1);
});

it('asks nobody for whom it has no TD report', async () => {
  rmSync(join(root, 'dev/tdx_guest'));
  expect((await takeQuote(REPORT_DATA, { ...realTdxMachine, root, files: configfs() })).length).toBe(2000);
  expect(connects).toEqual([]);
});

it('has only the service where there is no configfs, and names it', async () => {
  const fake = new FakeTsm({ reportDir: `${root}/elsewhere` });
  for (let round = 1; round <= 2; round++) {
    const failed = await takeQuote(REPORT_DATA, { ...realTdxMachine, root, files: fake }).catch(
      (thrown: unknown) => thrown,
    );
    expect(failed).toMatchObject({
      code: 'QUOTE_UNAVAILABLE',
      message: expect.stringContaining(`quote service at vsock 2:${port}`),
    });
    expect(connects).toHaveLength(round);
  }
});

it('leaves the service alone when the entry is named by the environment', async () => {
  const fake = configfs();
  const entry = `${fake.reportDir}/com.intel.dcap`;
  await fake.makeDirectory(entry);
  vi.stubEnv('DCAP_TDX_QUOTE_CONFIGFS_PATH', entry);
  expect((await takeQuote(REPORT_DATA, { ...realTdxMachine, root, files: fake })).length).toBe(2000);
  expect(connects).toEqual([]);
});

it('says so when there is no way at all', async () => {
  rmSync(join(root, 'etc/tdx-attest.conf'));
  const fake = new FakeTsm({ reportDir: `${root}/elsewhere` });
  await expect(takeQuote(REPORT_DATA, { ...realTdxMachine, root, files: fake })).rejects.toMatchObject({
    code: 'QUOTE_UNAVAILABLE',
  });
});
