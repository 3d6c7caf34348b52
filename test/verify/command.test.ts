import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pemChain } from '../../simulator/pki.ts';
import { toHex } from '../../src/codec/hex.ts';
import { encodeVersioned } from '../../src/tdx/attestation.ts';
import { parseExpectations } from '../../src/verify/expectations.ts';
import { reportText } from '../../src/verify/report-text.ts';
import { attestationOf, bootEvents, COLLATERAL, COMPOSE_HASH, judge, PKI, quoteOf, runtimeEvent } from './guest.ts';

const CONTEXT = { at: 0, root: { name: 'x', sha256: '00', intel: false } };
const APP = ['--expect', `app-id=${'01'.repeat(20)}`];
const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
let dir: string;
const path = (name: string): string => join(dir, name);

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'verify-'));
  writeFileSync(path('v0.bin'), encodeVersioned(attestationOf()));
  writeFileSync(path('quote.bin'), quoteOf(bootEvents()));
  writeFileSync(
    path('spoiled.bin'),
    quoteOf(bootEvents()).map((byte, at) => (at === 640 ? byte ^ 1 : byte)),
  );
  writeFileSync(path('large.bin'), new Uint8Array(3 * 1024 * 1024));
  writeFileSync(path('root.pem'), pemChain(PKI.root));
  writeFileSync(path('collateral.json'), JSON.stringify(COLLATERAL));
});
afterAll(() => rmSync(dir, { recursive: true }));

interface Done {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command with the mock root and collateral unless told otherwise. */
async function verify(file: string, args: readonly string[] = [], plain = false): Promise<Done> {
  const mock = ['--root-ca', path('root.pem'), '--collateral', path('collateral.json'), '--at', '2026-03-01T12:00:00Z'];
  const env = { NO_COLOR: '1', HOME: dir, PATH: process.env['PATH'] ?? '' };
  const argv = ['bin/dstack-util.ts', 'verify', file, ...(plain ? [] : mock), ...args];
  try {
    return { code: 0, ...(await promisify(execFile)(BUN, argv, { env })) };
  } catch (thrown) {
    return thrown as Done;
  }
}

describe('the command', () => {
  it('prints a table and exits 0 for valid evidence', async () => {
    const { code, stdout, stderr } = await verify(path('v0.bin'), APP);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^verdict {5}valid; under Mock Intel SGX Root CA, which is NOT Intel’s root$/m);
    expect(stdout).toMatch(/^app {9}proven, if the system is one that you trust: .*, pinned by app-id$/m);
    expect(stdout).toMatch(/^ {5}3 {2}compose-hash +0202\S+ +[0-9a-f]{8,12}… {2}[0-9a-f]{8,12}… {2}known$/m);
    expect(stdout).toContain('trusting    Mock Intel SGX Root CA, which is NOT Intel’s root');
  });

  it.each([
    ['invalid evidence', 1, 'EVIDENCE_INVALID', 'v0.bin', ['--expect', `app-id=${'00'.repeat(20)}`], false],
    ['a root nobody signed under', 1, 'EVIDENCE_INVALID', 'quote.bin', [], true],
    ['a spoiled quote', 1, 'EVIDENCE_INVALID', 'spoiled.bin', ['--any-app'], false],
    ['no app that is expected', 3, 'EVIDENCE_UNCHECKED', 'v0.bin', [], false],
    ['an app that a bare quote does not tell', 3, 'EVIDENCE_UNCHECKED', 'quote.bin', APP, false],
    ['too much input', 3, 'EVIDENCE_UNCHECKED', 'large.bin', [], false],
    ['what is not evidence', 3, 'EVIDENCE_UNCHECKED', 'root.pem', ['--any-app'], false],
    ['wrong usage', 2, 'INPUT_INVALID', 'v0.bin', ['--expect', 'colour=red'], false],
    ['a time without zone', 2, 'INPUT_INVALID', 'v0.bin', ['--at', '2026-03-01T12:00:00'], false],
    ['a status that cannot be allowed', 2, 'INPUT_INVALID', 'v0.bin', ['--allow-tcb', 'Revoked'], false],
    ['a missing file', 3, 'EVIDENCE_UNCHECKED', 'missing', [], false],
    ['collateral out of its time', 3, 'EVIDENCE_UNCHECKED', 'v0.bin', ['--at', '2027-03-01T12:00:00Z'], false],
    ['a root that is no certificate', 3, 'EVIDENCE_UNCHECKED', 'v0.bin', ['--root-ca', '/dev/null'], false],
  ] as const)('tells %s by exit status %i and code %s', async (_, status, code, file, args, plain) => {
    const { code: exit, stderr } = await verify(path(file), args, plain);
    expect([exit, stderr]).toEqual([status, expect.stringContaining(`[${code}]`)]);
  });

  it('prints everything as JSON', async () => {
    const { stdout } = await verify(path('v0.bin'), ['--json', '--expect', 'event storage-fs=00']);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({
      version: 1,
      verdict: 'invalid',
      proof: {
        machine: { state: 'proven', root: { name: 'Mock Intel SGX Root CA', intel: false } },
        system: { state: 'not proven' },
        app: { state: 'contradicted', why: 'boot-events: first drift at event 8 (storage-fs): pinned is 00' },
        fresh: { state: 'not proven' },
      },
      first_drift: 'event 8 (storage-fs): pinned is 00',
      tcb: { status: 'UpToDate', advisory_ids: [] },
      identity: { app_id: '01'.repeat(20), key_provider: { name: 'none', id: '' } },
      at: '2026-03-01T12:00:00.000Z',
    });
    expect(report.events[7]).toMatchObject({
      event: 'storage-fs',
      payload: toHex(Buffer.from('ext4')),
      state: 'drift',
    });
    expect(report.events[9].rtmr3).toBe(report.registers.rtmr3);
  });
});

describe('what a person reads', () => {
  it('has each reason once, whole, and wrapped on a terminal only', async () => {
    const hash = toHex(COMPOSE_HASH);
    const { stdout, stderr } = await verify(path('v0.bin'), ['--expect', `compose-hash=${'ab'.repeat(32)}`]);
    expect(stdout.split('ab'.repeat(32))).toHaveLength(2);
    expect(stdout).toMatch(/^verdict {5}INVALID: expect compose-hash; under Mock/m);
    expect(stderr).toContain(`is refused: expect compose-hash: is ${hash.slice(0, 16)}…, expected ${'ab'.repeat(8)}…`);
    const long = `/${'folder/'.repeat(30)}collateral.json`;
    const report = await judge(encodeVersioned(attestationOf()), { source: long });
    const text = (columns?: number) => reportText(report, CONTEXT, columns).split('\n');
    expect(text()).toContainEqual(expect.stringMatching(/^ {2}ok {3}collateral +\/folder.*, valid until 20\d\d-\S+Z$/));
    expect(text().join('\n')).toContain(`RTMR3`);
    expect(text(80).filter((line) => line.length > 80)).toEqual([]);
    expect(text(80).join('').replaceAll(' ', '')).toContain(`${long},validuntil20`.replaceAll(' ', ''));
  });
});

describe('the table', () => {
  const hostile = runtimeEvent(`\u001b[2J${'x'.repeat(500)}`, new Uint8Array(400).fill(0x1b));
  it('fits its width and keeps control characters off the terminal', async () => {
    const report = await judge(encodeVersioned(attestationOf([...bootEvents(), hostile])));
    for (const columns of [72, 100, 200]) {
      const text = reportText(report, CONTEXT, columns);
      expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
      const table = text.split('\n').filter((line) => /^ {2} +\d+ {2}/.test(line));
      expect(table).toHaveLength(11);
      for (const line of table) expect(line.length).toBeLessThanOrEqual(Math.min(columns, 160));
    }
  });
});

describe('expectations', () => {
  it('may stand together, with underscores and in any case', () => {
    const { values, keyProvider, events } = parseExpectations([
      'APP_ID=0xAB, rtmr0=00',
      'key_provider=KMS:AA',
      'event a,b=c=ff',
      'report-data=01',
    ]);
    expect([...values]).toEqual([
      ['app-id', 'ab'],
      ['rtmr0', '00'],
      ['report-data', `01${'0'.repeat(126)}`],
    ]);
    expect([keyProvider, [...events]]).toEqual(['kms:aa', [['a,b=c', 'ff']]]);
  });

  it.each(['app-id', 'app-id=x', 'app-id=00,app-id=01', 'key-provider=vault', '=00', 'event x', 'event x=1'])(
    '%s is refused',
    (text) => {
      expect(() => parseExpectations([text])).toThrow(expect.objectContaining({ code: 'INPUT_INVALID' }));
    },
  );
});
