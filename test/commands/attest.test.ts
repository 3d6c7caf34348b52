/** The attest commands, started as a person starts them, on files; taking evidence needs the virtual machine. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHex } from '../../src/codec/hex.ts';
import { type Attestation, decodeVersioned, encodeVersioned, strip } from '../../src/tdx/attestation.ts';
import { fullLogJson } from '../../src/tdx/log-json.ts';
import { sampleAttestation, sampleQuote } from '../tdx/sample.ts';

const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
let dir: string;
const file = (name: string) => join(dir, name);
const samples = { v0: sampleAttestation(1), v1: sampleAttestation(2) };

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'attest-'));
  for (const [name, attestation] of Object.entries(samples)) {
    writeFileSync(file(`${name}.bin`), encodeVersioned(attestation));
  }
  writeFileSync(file('v0.hex'), `${toHex(encodeVersioned(samples.v0))}\n`);
});
afterAll(() => rmSync(dir, { recursive: true }));

function util(...args: string[]) {
  const env = { PATH: process.env['PATH'] ?? '', NO_COLOR: '1' };
  const done = spawnSync(BUN, ['bin/dstack-util.ts', ...args], { encoding: 'utf8', env, input: '' });
  return { exit: done.status, stdout: done.stdout, stderr: done.stderr };
}

describe('attest-info', () => {
  it.each(['v0.bin', 'v0.hex'])('tells what a V0 file holds: %s', (name) => {
    const bytes = encodeVersioned(samples.v0);
    const log = samples.v0.platform.kind === 'tdx' ? samples.v0.platform.eventLog : [];
    expect(util('attest-info', '-i', file(name))).toEqual({
      exit: 0,
      stderr: '',
      stdout: [
        `file: ${file(name)}`,
        `total_bytes: ${bytes.length}`,
        'version: V0',
        'mode: DstackTdx',
        `config_bytes: ${samples.v0.config.length}`,
        `tdx_quote_bytes: ${sampleQuote().length}`,
        `event_log_entries: ${log.length}`,
        `event_log_json_bytes: ${JSON.stringify(fullLogJson(log)).length}`,
        'tpm_quote_bytes: 0',
        '',
      ].join('\n'),
    });
  });

  it('tells more about a V1 file, and all of it as JSON', () => {
    const info = JSON.parse(util('attest-info', '-i', file('v1.bin'), '--json').stdout);
    expect(info).toMatchObject({
      version: 1,
      attestation_version: 'V1',
      mode: 'DstackTdx',
      stack: 'dstack',
      report_data: '77'.repeat(64),
      quoted_rtmr3: 'a3'.repeat(48),
      runtime_events: 'system-preparing (v2), app-id (v2), compose-hash (v2), system-ready (v2)',
    });
  });
});

describe('attest-json', () => {
  it('of V0 has quote and event log in hex', () => {
    const { stdout } = util('attest-json', '-i', file('v0.bin'));
    const json = JSON.parse(stdout);
    expect(Object.keys(json)).toEqual(['version', 'mode', 'config', 'tdx_quote', 'tpm_quote']);
    expect(json).toMatchObject({ version: 'V0', mode: 'dstack-tdx', config: samples.v0.config, tpm_quote: null });
    const { platform } = samples.v0;
    if (platform.kind !== 'tdx') throw new Error('the sample is no TDX attestation');
    expect(json.tdx_quote).toEqual({ quote: toHex(platform.quote), event_log: fullLogJson(platform.eventLog) });
  });

  it('of V1 follows the msgpack form, and goes to a file', () => {
    expect(util('attest-json', '-i', file('v1.bin'), '-o', file('v1.json'))).toMatchObject({ exit: 0, stdout: '' });
    const json = JSON.parse(readFileSync(file('v1.json'), 'utf8'));
    expect(json.version).toBe(1);
    expect(json.platform.kind).toBe('tdx');
    expect(Uint8Array.from(json.platform.data.quote)).toEqual(
      samples.v1.platform.kind === 'tdx' ? samples.v1.platform.quote : undefined,
    );
    expect(json.stack.data.report_data).toEqual(Array(64).fill(0x77));
    expect(json.stack.data.runtime_events[1]).toEqual({
      event: 'app-id',
      payload: Buffer.alloc(20, 1).toString('base64'),
      version: 2,
    });
  });
});

describe('attest-strip', () => {
  it.each(['v0', 'v1'] as const)('writes the certificate form of %s, in the same encoding', (name) => {
    const output = file(`${name}.strip`);
    expect(util('attest-strip', '-i', file(`${name}.bin`), '-o', output)).toMatchObject({ exit: 0, stdout: '' });
    const stripped = decodeVersioned(readFileSync(output));
    expect(stripped).toEqual({ form: name.toUpperCase(), attestation: strip(samples[name]) });
    expect(readFileSync(output).length).toBeLessThan(readFileSync(file(`${name}.bin`)).length);
  });
});

describe('other platforms', () => {
  const tpmQuote = {
    message: Uint8Array.of(1),
    signature: Uint8Array.of(2),
    pcrValues: [{ index: 14, algorithm: 'sha256', value: new Uint8Array(32) }],
    akCert: Uint8Array.of(3),
    platform: 'gcp' as const,
    eventLog: [{ pcrIndex: 0, digest: Uint8Array.of(4) }],
  };
  const platforms: Attestation['platform'][] = [
    { kind: 'gcp-tdx', quote: sampleQuote(), eventLog: [], tpmQuote },
    { kind: 'nitro-enclave', nsmQuote: Uint8Array.of(5) },
    { kind: 'sev-snp', report: Uint8Array.of(6), certChain: [Uint8Array.of(7)], mrConfig: '{}' },
    { kind: 'aws-nitro-tpm', attestationDoc: Uint8Array.of(8) },
  ];
  it.each(platforms.map((platform) => [platform.kind, platform] as const))(
    '%s is shown in both forms',
    (_, platform) => {
      for (const form of ['V0', 'V1'] as const) {
        const input = file(`${platform.kind}.${form}`);
        writeFileSync(input, encodeVersioned({ ...samples.v0, platform }, form));
        const info = JSON.parse(util('attest-info', '-i', input, '--json').stdout);
        expect(info.mode).toMatch(/^Dstack(GcpTdx|NitroEnclave|AmdSevSnp|AwsNitroTpm)$/);
        expect(info.tpm_quote_bytes > 0).toBe(platform.kind === 'gcp-tdx');
        const json = JSON.parse(util('attest-json', '-i', input).stdout);
        if (form === 'V1') expect(json.platform.kind).toBe(platform.kind);
        else expect(json.tpm_quote === null).toBe(platform.kind !== 'gcp-tdx');
      }
    },
  );
});

describe('what cannot be done', () => {
  it.each([
    ['a missing file', [], 'FILE_NOT_FOUND'],
    ['text', ['not an attestation'], 'ATTESTATION_INVALID'],
    ['an empty file', [''], 'ATTESTATION_INVALID'],
  ] as const)('%s is refused with its name', (_, [content], code) => {
    const input = file('bad');
    rmSync(input, { force: true });
    if (content !== undefined) writeFileSync(input, content);
    for (const command of ['attest-info', 'attest-json', 'attest-strip']) {
      const { exit, stdout, stderr } = util(command, '-i', input);
      expect({ exit, stdout }).toEqual({ exit: 1, stdout: '' });
      expect(stderr).toContain(`error [${code}]`);
      expect(stderr).toContain(input);
    }
  });

  it.each([
    [['attest', '--report-data', '00'.repeat(65)], 'REPORT_DATA_INVALID', 1],
    [['attest', '--report-data', 'zz'], 'HEX_INVALID', 2],
    [['attest', '--app-id', '00'], 'HEX_INVALID', 2],
    [['quote-report', '--report-data', '00'.repeat(65)], 'REPORT_DATA_INVALID', 1],
    [['quote-report', '--sys-config', '/nowhere/sys-config.json'], 'FILE_NOT_FOUND', 1],
  ])('%j: %s', (args, code, status) => {
    const { exit, stdout, stderr } = util(...args);
    expect({ exit, stdout }).toEqual({ exit: status, stdout: '' });
    expect(stderr).toContain(`error [${code}]`);
  });

  it.runIf(!existsSync('/dev/tdx_guest'))('evidence needs a TEE', () => {
    for (const args of [['attest', '-o', file('never')], ['attest', '--hex'], ['quote-report']]) {
      expect(util(...args).stderr).toContain('error [TEE_NOT_FOUND]');
    }
    expect(existsSync(file('never'))).toBe(false);
  });
});
