/** What moves a register and what does not; the image folder; the prediction file. */
import { createHash } from 'node:crypto';
import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHex } from '../../src/codec/hex.ts';
import { Fields } from '../../src/config/fields.ts';
import {
  type AcpiDigests,
  checkImageFolder,
  documentOfImage,
  formatChecksumFile,
  type ImageParts,
  type Influence,
  predictFromDocument,
  predictFromImage,
  readImageFolder,
  readSystemPins,
  readVmConfig,
  type SystemPrediction,
  shapeFromVmConfig,
  systemJson,
  type VmShape,
  writeMeasurementDocument,
} from '../../src/os-image/os-image.ts';
import { failure, rejection } from '../failure.ts';
import { buildFirmware, emptyVolume, imageParts, initrdA, kernelA, kernelB, METADATA, SECTIONS } from './sample.ts';

const GIB = 1024 ** 3;
const shape = (config: object = {}): VmShape =>
  shapeFromVmConfig(readVmConfig(Buffer.from(JSON.stringify({ memory_size: 2 * GIB, ...config })), 'vm_config'));
const ACPI: AcpiDigests = {
  loader: new Uint8Array(48).fill(1),
  rsdp: new Uint8Array(48).fill(2),
  tables: new Uint8Array(48).fill(3),
};
const events = ({ mrtd, rtmrs }: SystemPrediction) => [
  { name: 'mrtd', digest: mrtd.value, dependsOn: mrtd.dependsOn },
  ...rtmrs.flatMap((register) => register.events),
];
const key = (digest: Uint8Array | undefined) => digest && toHex(digest);

/** Names of the events whose digest differs. */
function moved(a: SystemPrediction, b: SystemPrediction): string[] {
  const after = events(b);
  return events(a)
    .filter(({ digest }, index) => key(digest) !== key(after[index]?.digest))
    .map(({ name }) => name);
}

const firmware = (change: (bytes: Uint8Array) => unknown): Uint8Array => {
  const bytes = buildFirmware();
  change(bytes);
  return bytes;
};

describe('each event names what it depends on', () => {
  const base = predictFromImage(imageParts(), shape(), ACPI);
  const dependents = (...influences: Influence[]) =>
    events(base)
      .filter(({ dependsOn }) => dependsOn.some((influence) => influences.includes(influence)))
      .map(({ name }) => name);

  it.each<[string, ImageParts, object, string[]]>([
    ['the kernel', imageParts({ kernel: kernelB() }), {}, dependents('kernel')],
    ['a byte of the initrd', imageParts({ initrd: initrdA().fill(1, 0, 1) }), {}, dependents('initrd')],
    ['the length of the initrd', imageParts({ initrd: new Uint8Array(8192) }), {}, dependents('initrd', 'initrd size')],
    [
      'the command line',
      imageParts({ metadata: { cmdline: `${METADATA.cmdline} x` } }),
      {},
      dependents('command line'),
    ],
    ['QEMU 8', imageParts(), { qemu_version: '8.2.2' }, ['mrtd']],
    ['QEMU 10.2', imageParts(), { qemu_version: '10.2.0' }, ['kernel']],
    ['QEMU', imageParts(), { qemu_version: '10.2.0', qemu_single_pass_add_pages: true }, dependents('QEMU version')],
    ['memory', imageParts(), { memory_size: GIB / 2 }, ['td-hob', 'kernel']],
    ['memory beyond the split', imageParts(), { memory_size: 8 * GIB }, ['td-hob']],
    ['code of the firmware', imageParts({ firmware: firmware((f) => f.fill(7, 4096, 4097)) }), {}, ['mrtd']],
    ['processors and devices', imageParts(), { cpu_count: 8, num_gpus: 1, hotplug_off: true }, []],
    ['the root image', imageParts({ metadata: { rootfs: 'other.img', version: '0.7.0' } }), {}, []],
  ])('%s', (_, parts, config, expected) => {
    expect(moved(base, predictFromImage(parts, shape(config), ACPI))).toEqual(expected);
    if (expected.length > 0) expect(expected).not.toContain('separator');
  });

  it('a changed ACPI digest moves its own event', () => {
    const other = predictFromImage(imageParts(), shape(), { ...ACPI, rsdp: new Uint8Array(48) });
    expect(moved(base, other)).toEqual(['acpi-rsdp']);
    expect(key(other.rtmrs[0].value)).not.toBe(key(base.rtmrs[0].value));
  });

  it('names are in the order of extension', () => {
    expect(base.rtmrs.map((register) => register.events.length)).toEqual([13, 5, 2]);
    expect(
      base.rtmrs.flatMap((register, index) => register.events.map((event) => event.register === index)),
    ).not.toContain(false);
  });
});

describe('what cannot be known is said', () => {
  it('a variable store with content', () => {
    const parts = imageParts({ firmware: firmware((bytes) => bytes.fill(0xaa, 0x64, 0x66)) });
    const prediction = predictFromImage(parts, shape(), ACPI);
    expect(prediction.unknown.map(({ event }) => event)).toEqual(['SecureBoot', 'PK', 'KEK', 'db', 'dbx']);
    expect(prediction.unknown[0]?.why).toContain('variables');
    expect(prediction.rtmrs.map(({ value }) => value === undefined)).toEqual([true, false, false]);
    const volume = createHash('sha384').update(parts.firmware.subarray(0, emptyVolume().length)).digest('hex');
    expect(key(prediction.rtmrs[0].events[1]?.digest)).toBe(volume);
  });

  it.each([
    [2 * GIB, false],
    [0xb000_0000, false],
    [64 * GIB, false],
    [GIB, true],
    [2 * GIB - 4096, true],
    [2 * GIB + 4096, true],
    [0xb000_0000 - 4096, true],
  ])('the kernel of a document with %i bytes of memory', (memory, unknown) => {
    const prediction = predictFromDocument(documentOfImage(imageParts()), shape({ memory_size: memory }), ACPI);
    expect(prediction.unknown.map(({ event }) => event)).toEqual(unknown ? ['kernel'] : []);
    expect(prediction.rtmrs[1].value === undefined).toBe(unknown);
    // where it is known, the image says the same
    const image = predictFromImage(imageParts(), shape({ memory_size: memory }), ACPI);
    if (!unknown) expect(key(prediction.rtmrs[1].value)).toBe(key(image.rtmrs[1].value));
  });

  it('what is taken for granted', () => {
    expect(predictFromImage(imageParts(), shape()).assumed).toContainEqual('QEMU is 9.1.0');
    expect(predictFromImage(imageParts(), shape({ qemu_version: '9.2.1' })).assumed).not.toContainEqual(
      'QEMU is 9.1.0',
    );
    const doubted = predictFromImage(imageParts({ kernel: kernelB() }), shape()).assumed;
    expect(doubted.some((text) => text.includes('bytes behind the sections'))).toBe(true);
  });

  it.each([
    ['9.2.1', false],
    ['10.0.2', true],
    ['10.1.0', true],
    ['10.2.0', false],
    ['11.0.0', false],
  ])('whether the firmware of QEMU %s takes the kernel as built', (version, doubted) => {
    const { assumed } = predictFromImage(imageParts(), shape({ qemu_version: version }));
    expect(assumed.some((text) => text.includes('edk2-stable202502'))).toBe(doubted);
  });

  it.each([
    [0, 'leaves nothing'],
    [4095, 'not a multiple of 4096'],
    [0x82_0000, 'leaves nothing'],
  ])('%i bytes of memory are refused', (memory, why) => {
    const thrown = failure(() => predictFromDocument(documentOfImage(imageParts()), shape({ memory_size: memory })));
    expect({ code: thrown.code, field: thrown.field }).toEqual({ code: 'VM_SHAPE_UNSUPPORTED', field: 'memory_size' });
    expect(thrown.message).toContain(why);
  });

  it('a firmware without a configuration volume is refused', () => {
    const sections = SECTIONS.filter((_, index) => index !== 1);
    const parts = imageParts({ firmware: buildFirmware(sections) });
    expect(failure(() => predictFromImage(parts, shape())).code).toBe('FIRMWARE_INVALID');
  });
});

describe('the image folder', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'os-image-'));
  });
  afterAll(() => rm(dir, { recursive: true }));

  const sum = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest());
  const FILES: Record<string, Uint8Array> = {
    'metadata.json': Buffer.from(JSON.stringify(METADATA)),
    'ovmf.fd': buildFirmware(),
    bzImage: kernelA(),
    initrd: initrdA(),
    'rootfs.img': new Uint8Array(3_000_000).fill(5),
    'measurement.tdx.cbor': writeMeasurementDocument(documentOfImage(imageParts())),
  };
  const write = async (names: readonly string[], changes: Record<string, Uint8Array> = {}) => {
    for (const [name, bytes] of Object.entries({ ...FILES, ...changes })) await writeFile(join(dir, name), bytes);
    const checksums = formatChecksumFile(new Map(names.map((name) => [name, sum(FILES[name] ?? new Uint8Array())])));
    await writeFile(join(dir, 'sha256sum.txt'), checksums);
    return toHex(sum(checksums));
  };
  const flipped = (name: string) => {
    const bytes = new Uint8Array(FILES[name] ?? []);
    // of the metadata a letter of the command line: it stays a document
    const at = name === 'metadata.json' ? Buffer.from(bytes).indexOf('ttyS0') : bytes.length - 1;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return { [name]: bytes };
  };

  it.each([
    ['all files', Object.keys(FILES)],
    ['the measurement document alone', ['measurement.tdx.cbor']],
    ['the files without a document', ['metadata.json', 'ovmf.fd', 'bzImage', 'initrd']],
  ])('%s make the identity', async (_, names) => {
    const hash = await write(names);
    const folder = await readImageFolder(dir);
    expect(toHex(await checkImageFolder(folder))).toBe(hash);
    expect(predictFromImage(folder.parts, shape(), ACPI)).toEqual(predictFromImage(imageParts(), shape(), ACPI));
  });

  it.each(Object.keys(FILES))('a changed byte of %s is found', async (name) => {
    await write(Object.keys(FILES), flipped(name));
    const thrown = await rejection(readImageFolder(dir).then(checkImageFolder));
    expect(thrown).toMatchObject({ code: 'OS_IMAGE_INVALID', field: name });
    expect(thrown.message).toContain(toHex(sum(FILES[name] ?? new Uint8Array())));
  });

  // a field of metadata.json that is not measured is not bound by such an identity
  it.each(['ovmf.fd', 'bzImage', 'initrd', 'metadata.json'])(
    'a changed byte of %s is found through the document alone',
    async (name) => {
      // the last page of the firmware is neither measured nor read: its code is
      const code = new Uint8Array(buildFirmware()).fill(1, 4096, 4097);
      await write(['measurement.tdx.cbor'], name === 'ovmf.fd' ? { [name]: code } : flipped(name));
      const thrown = await rejection(readImageFolder(dir).then(checkImageFolder));
      expect(thrown).toMatchObject({ code: 'OS_IMAGE_INVALID', field: 'measurement.tdx.cbor' });
    },
  );

  it.each(['ovmf.fd', 'bzImage', 'initrd', 'metadata.json'])('%s must be named', async (name) => {
    const names = ['metadata.json', 'ovmf.fd', 'bzImage', 'initrd'].filter((other) => other !== name);
    await write(names);
    expect(await rejection(readImageFolder(dir).then(checkImageFolder))).toMatchObject({
      code: 'OS_IMAGE_INVALID',
      field: name,
    });
  });

  it('a folder without a checksum file has no identity', async () => {
    await write(Object.keys(FILES));
    await rm(join(dir, 'sha256sum.txt'));
    const folder = await readImageFolder(dir);
    expect(folder.osImageHash).toBeUndefined();
    expect((await rejection(checkImageFolder(folder))).code).toBe('OS_IMAGE_INVALID');
  });

  it('links are not followed, and what is missing is named', async () => {
    await write(Object.keys(FILES));
    await rename(join(dir, 'initrd'), join(dir, 'elsewhere'));
    expect(await rejection(readImageFolder(dir))).toMatchObject({ code: 'FILE_NOT_FOUND', path: join(dir, 'initrd') });
    await symlink('elsewhere', join(dir, 'initrd'));
    expect((await rejection(readImageFolder(dir))).code).toBe('FILE_NOT_REGULAR');
    await rm(join(dir, 'initrd'));
  });
});

describe('the prediction file', () => {
  it('says the same after reading', () => {
    const prediction = predictFromImage(imageParts(), shape(), ACPI);
    const hash = new Uint8Array(32).fill(9);
    const pins = readSystemPins(new Fields(JSON.parse(JSON.stringify(systemJson(prediction, hash)))));
    expect(pins).toEqual({
      osImageHash: hash,
      mrtd: prediction.mrtd.value,
      rtmrs: prediction.rtmrs.map(({ value }) => value),
      events: prediction.rtmrs.flatMap((register) =>
        register.events.map(({ register, name, digest, dependsOn }) => ({ register, name, digest, dependsOn })),
      ),
    });
    const unknown = readSystemPins(
      new Fields(JSON.parse(JSON.stringify(systemJson(predictFromImage(imageParts(), shape()), undefined)))),
    );
    expect([unknown.osImageHash, unknown.rtmrs[0]]).toEqual([undefined, undefined]);
  });

  it.each([
    [{ mrtd: 'ab' }, 'mrtd'],
    [{ rtmr1: 7 }, 'rtmr1'],
    [{ events: [{ register: 3, event: 'kernel' }] }, 'events[0].register'],
    [{ events: [{ register: 0, event: 'kernel' }] }, 'events[0].event'],
    [{ events: [{ register: 1, event: 'kernel', digest: '00' }] }, 'events[0].digest'],
  ])('%j is refused', (document, field) => {
    expect(failure(() => readSystemPins(new Fields(document)))).toMatchObject({ code: 'DOCUMENT_INVALID', field });
  });
});
