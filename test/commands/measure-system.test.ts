/** `measure --image`: as a person starts it. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { documentOfImage, writeMeasurementDocument } from '../../src/os-image/os-image.ts';
import { buildFirmware, imageParts, initrdA, kernelA, METADATA } from '../os-image/sample.ts';
import { run } from '../run-main.ts';

let dir: string;
const path = (name: string) => join(dir, name);
const digest = (digit: string) => digit.repeat(96);
const ACPI = [digest('1'), digest('2'), digest('3')];

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'measure-system-'));
  const files: Record<string, Uint8Array | string> = {
    'metadata.json': JSON.stringify(METADATA),
    'ovmf.fd': buildFirmware(),
    bzImage: kernelA(),
    initrd: initrdA(),
    'measurement.tdx.cbor': writeMeasurementDocument(documentOfImage(imageParts())),
  };
  const lines = Object.entries(files).map(
    ([name, bytes]) => `${createHash('sha256').update(bytes).digest('hex')}  ${name}\n`,
  );
  files['sha256sum.txt'] = lines.join('');
  files['vm.json'] = JSON.stringify({
    memory_size: 2 ** 31,
    cpu_count: 2,
    qemu_version: '8.2.2',
    image: 'dstack-0.6.0',
  });
  files['app-compose.json'] = JSON.stringify({
    manifest_version: 2,
    name: 'n',
    runner: 'bash',
    bash_script: 'true',
    kms_enabled: true,
  });
  files['log.json'] = JSON.stringify(
    ['acpi-loader', 'acpi-rsdp', 'acpi-tables'].map((event, i) => ({
      imr: 0,
      event_type: 10,
      digest: ACPI[i],
      event,
      event_payload: Buffer.from('ACPI DATA').toString('hex'),
    })),
  );
  for (const [name, bytes] of Object.entries(files)) writeFileSync(path(name), bytes);
});
afterAll(() => rmSync(dir, { recursive: true }));

async function measure(...args: string[]) {
  const { stdout, ...rest } = await run('measure', ...args);
  return { stdout: Buffer.from(stdout, 'latin1').toString('utf8'), ...rest };
}

const json = async (...args: string[]) => {
  const { stdout, stderr, exit } = await measure(...args, '--json');
  expect({ stderr, exit }).toEqual({ stderr: '', exit: 0 });
  return JSON.parse(stdout);
};

describe('measure --image', () => {
  it('prints each register with its events, and what they depend on', async () => {
    const { stdout, exit } = await measure('--image', dir, '--memory', '2G', '--acpi', ACPI.join(','));
    expect(exit).toBe(0);
    const lines = stdout.split('\n');
    expect(lines.filter((line) => /^(os image hash|MRTD|RTMR[012]) +[0-9a-f]{64,96}$/.test(line))).toHaveLength(5);
    expect(lines.filter((line) => /^ {2}\S+ +[0-9a-f]{16}… {2}\S/.test(line))).toHaveLength(20);
    expect(stdout).toMatch(/ {2}td-hob +[0-9a-f]{16}… {2}firmware, memory size\n/);
    expect(stdout).toMatch(/ {2}acpi-rsdp +2{16}… {2}ACPI by the host\n/);
    expect(stdout).toContain('assumed     QEMU is 9.1.0');
    expect(stdout).not.toContain('compose hash');
  });

  it('without ACPI digests it says what is missing', async () => {
    const { stdout, exit } = await measure('--image', dir, '--memory', '2G');
    expect(exit).toBe(0);
    expect(stdout).toContain('RTMR0         not known, because of what is missing');
    expect(stdout).toMatch(/unknown +acpi-tables: made by the host/);
  });

  it('the folder and its document predict the same', async () => {
    const shape = ['--vm-config', path('vm.json'), '--event-log', path('log.json')];
    const image = await json('--image', dir, ...shape);
    const document = await json('--image-measurement', path('measurement.tdx.cbor'), ...shape);
    const registers = ({ system }: { system: Record<string, unknown> }) =>
      ['os_image_hash', 'mrtd', 'rtmr1', 'rtmr2'].map((name) => system[name]);
    expect(registers(document)).toEqual(registers(image));
    // the document stands for the store of the platform's own firmware
    expect(document.system.rtmr0).toHaveLength(96);
    expect(document.system.rtmr0).not.toBe(image.system.rtmr0);
    const again = await json('--image', dir, '--vm-config', path('vm.json'), '--acpi', ACPI.join(','));
    expect(again).toEqual(image);
  });

  it('options stand above the document of the VM', async () => {
    const of = (...args: string[]) => json('--image', dir, '--vm-config', path('vm.json'), ...args);
    const base = await of();
    const newer = await of('--qemu-version', '9.1.0');
    const flag = await of('--vm', 'qemu_single_pass_add_pages=false', '--vm', 'hotplug_off=true', '--cpus', '4');
    const smaller = await of('--memory', '512M');
    expect(newer.system.mrtd).not.toBe(base.system.mrtd);
    expect(flag.system.mrtd).toBe(newer.system.mrtd);
    expect(smaller.system.rtmr1).not.toBe(base.system.rtmr1);
  });

  it('one file pins the system and the app; the image tells hash and command line', async () => {
    const both = await json(path('app-compose.json'), '--image', dir, '--memory', '2G');
    const app = await json(path('app-compose.json'));
    expect(both.compose_hash).toBe(app.compose_hash);
    expect(both.system.mrtd).toHaveLength(96);
    const hash = (result: { events: { event: string; payload: string | null }[] }) =>
      result.events.find(({ event }) => event === 'os-image-hash')?.payload;
    expect([hash(app), hash(both)]).toEqual([null, both.system.os_image_hash]);
    const assumes = (result: { assumed: string[] }) => result.assumed.some((text) => text.includes('command line'));
    expect([assumes(app), assumes(both)]).toEqual([true, false]);
  });

  it('a folder whose files are not those of its identity is refused', async () => {
    writeFileSync(path('initrd'), initrdA().fill(1, 0, 1));
    const changed = await measure('--image', dir, '--memory', '2G');
    writeFileSync(path('initrd'), initrdA());
    expect(changed).toMatchObject({ stdout: '', exit: 1 });
    expect(changed.stderr).toContain('error [OS_IMAGE_INVALID]: initrd in ');
  });

  it('a document that is not that of its checksum file is refused', async () => {
    writeFileSync(path('other.txt'), `${'ab'.repeat(32)}  measurement.tdx.cbor\n`);
    const args = ['--image-measurement', path('measurement.tdx.cbor'), '--checksum-file', path('other.txt')];
    const { stdout, stderr, exit } = await measure(...args, '--memory', '2G');
    expect({ stdout, exit }).toEqual({ stdout: '', exit: 1 });
    expect(stderr).toContain('error [IMAGE_MEASUREMENT_INVALID]');
  });

  it.each([
    ['both sources', ['--image', 'a', '--image-measurement', 'b'], 'USAGE'],
    ['a shape without an image', ['--memory', '2G'], 'USAGE'],
    ['a checksum file without a document', ['--image', 'a', '--checksum-file', 'b'], 'USAGE'],
    ['no memory', ['--image', 'DIR'], 'INPUT_INVALID'],
    ['a size that is none', ['--image', 'DIR', '--memory', 'much'], 'DOCUMENT_INVALID'],
    ['processors that are none', ['--image', 'DIR', '--memory', '2G', '--cpus', 'two'], 'DOCUMENT_INVALID'],
    ['an old QEMU', ['--image', 'DIR', '--memory', '2G', '--qemu-version', '7.0.0'], 'VM_SHAPE_UNSUPPORTED'],
    ['an unknown field', ['--image', 'DIR', '--memory', '2G', '--vm', 'x=1'], 'INPUT_INVALID'],
    ['a wrong value', ['--image', 'DIR', '--memory', '2G', '--vm', 'pic=maybe'], 'DOCUMENT_INVALID'],
    ['two digests', ['--image', 'DIR', '--memory', '2G', '--acpi', `${digest('1')},${digest('2')}`], 'INPUT_INVALID'],
    ['a short digest', ['--image', 'DIR', '--memory', '2G', '--acpi', '11,22,33'], 'HEX_INVALID'],
    ['a folder that is not there', ['--image', 'DIR/none', '--memory', '2G'], 'FILE_NOT_FOUND'],
    ['a log without the events', ['--image', 'DIR', '--memory', '2G', '--event-log', 'DIR/empty'], 'EVENT_LOG_INVALID'],
  ])('%s: %j is refused', async (_, args, code) => {
    writeFileSync(path('empty'), '[]');
    const { stdout, stderr, exit } = await measure(...args.map((arg) => arg.replace('DIR', dir)));
    expect(stderr).toContain(`error [${code}]`);
    expect(stdout).toBe('');
    expect(exit).toBeGreaterThan(0);
  });
});

it('asks for a document where nobody named one and none is there', async () => {
  const { stderr, exit } = await run('measure'); // the tests run where there is no app-compose.json
  expect(stderr).toContain('there is no app-compose.json in this folder');
  expect(stderr).toContain('dstack-util measure FILE');
  expect(exit).toBe(1);
});
