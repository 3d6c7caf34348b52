/** `verify` with an image folder and a measurement document, started as a person starts it. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pemChain } from '../../simulator/pki.ts';
import { systemJson } from '../../src/os-image/os-image.ts';
import { COLLATERAL, PKI } from './guest.ts';
import {
  answerOf,
  FILES,
  flip,
  folderOf,
  fromDocument,
  fromImage,
  vmConfigOf,
  writeImageFolder,
} from './system-fixture.ts';

const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
let dir: string;
const path = (name: string): string => join(dir, name);

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'system-'));
  writeImageFolder(path('good'), FILES);
  writeImageFolder(path('bent'), FILES, { bzImage: flip(FILES.kernel, 8000) });
  const config = { ...vmConfigOf(FILES), tdx_measurement: undefined };
  writeFileSync(path('answer.json'), answerOf({ measured: fromImage(FILES), config }));
  writeFileSync(path('silent.json'), answerOf({ measured: fromImage(FILES), config: '' }));
  writeFileSync(path('lite.json'), answerOf({ measured: fromDocument(FILES), config: vmConfigOf(FILES) }));
  writeFileSync(path('vm.json'), JSON.stringify(config));
  const system = systemJson(fromImage(FILES), folderOf(FILES).osImageHash);
  writeFileSync(path('predicted.json'), JSON.stringify({ system }));
  writeFileSync(path('root.pem'), pemChain(PKI.root));
  writeFileSync(path('collateral.json'), JSON.stringify(COLLATERAL));
});
afterAll(() => rmSync(dir, { recursive: true }));

async function verify(file: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const mock = ['--root-ca', path('root.pem'), '--collateral', path('collateral.json'), '--at', '2026-03-01T12:00:00Z'];
  const env = { NO_COLOR: '1', HOME: dir, PATH: process.env['PATH'] ?? '' };
  try {
    return {
      code: 0,
      ...(await promisify(execFile)(BUN, ['bin/dstack-util.ts', 'verify', path(file), ...mock, ...args], { env })),
    };
  } catch (thrown) {
    return thrown as { code: number; stdout: string; stderr: string };
  }
}

describe('verify, the system', { timeout: 120_000 }, () => {
  it.each([
    ['an image folder', 'answer.json', () => ['--image', path('good')]],
    [
      'a folder, and the shape from a file',
      'silent.json',
      () => ['--image', path('good'), '--vm-config', path('vm.json')],
    ],
    [
      'a document with its checksum file',
      'lite.json',
      () => ['--image-measurement', path('good/measurement.tdx.cbor')],
    ],
    ['a prediction', 'answer.json', () => ['--expect-measure', path('predicted.json')]],
  ])('proves it by %s', async (_, file, args) => {
    const { code, stdout, stderr } = await verify(file, ...args(), '--any-app', '--json');
    expect([code, stderr]).toEqual([0, '']);
    const { verdict, system } = JSON.parse(stdout);
    expect([verdict, system.verdict, system.first_drift]).toEqual(['valid', 'proven', null]);
    expect(system.acpi).toEqual({ loader: '11'.repeat(48), rsdp: '22'.repeat(48), tables: '33'.repeat(48) });
  });

  it('names the part of a folder that was changed, and what it changed', async () => {
    const { code, stdout, stderr } = await verify('answer.json', '--image', path('bent'));
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /system-rtmr1: RTMR1 event 1 \(kernel\): measured was [0-9a-f]{16}…, image folder \S+ gives [0-9a-f]{16}…/,
    );
    expect(stdout).toMatch(/^ {2}FAIL system-rtmr1 .* measured was [0-9a-f]{96}, image folder \S+ gives [0-9a-f]{96}/m);
    expect(stdout).toMatch(/^system {6}CONTRADICTED: system-rtmr1$/m);
    expect(stdout).toMatch(
      /^ {2}\? +system-image +.*bzImage .*has SHA-256 [0-9a-f]{64}, sha256sum\.txt says [0-9a-f]{64}/m,
    );
  });

  it.each<[string, number, string, () => string[]]>([
    [
      'two references',
      2,
      'INPUT_INVALID',
      () => ['--image', path('good'), '--image-measurement', path('good/measurement.tdx.cbor')],
    ],
    ['a checksum file of nothing', 2, 'INPUT_INVALID', () => ['--checksum-file', path('good/sha256sum.txt')]],
    ['a folder that is not there', 3, 'EVIDENCE_UNCHECKED', () => ['--image', path('missing')]],
    ['a document that is none', 3, 'EVIDENCE_UNCHECKED', () => ['--image-measurement', path('vm.json')]],
  ])('%s ends with status %i', async (_, status, code, args) => {
    const { code: exit, stderr } = await verify('answer.json', ...args());
    expect([exit, stderr]).toEqual([status, expect.stringContaining(`[${code}]`)]);
  });
});
