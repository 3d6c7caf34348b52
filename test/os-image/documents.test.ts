/** What comes with an image: metadata.json, sha256sum.txt, measurement.tdx.cbor; and the shape of a VM. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type CborMap, type CborValue, decodeCbor, encodeCbor } from '../../src/codec/cbor.ts';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import {
  formatChecksumFile,
  osImageHash,
  pageOrder,
  parseChecksumFile,
  readBoundMeasurement,
  readImageMetadata,
  readMeasurementDocument,
  readVmConfig,
  shapeFromVmConfig,
  writeMeasurementDocument,
} from '../../src/os-image/os-image.ts';
import { failure } from '../failure.ts';
import { METADATA, vectors } from './sample.ts';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const HASH = 'ab'.repeat(32);

describe('metadata.json', () => {
  const read = (changes: object) => readImageMetadata(text(JSON.stringify({ ...METADATA, ...changes })));

  it('is read, unknown fields and absent ones included', () => {
    expect(read({ future: [1], 'bios-sev': 'sev.fd', version: '0.5.10.rc1', ovmf_variant: 'pre202505' })).toEqual({
      bios: 'ovmf.fd',
      kernel: 'bzImage',
      initrd: 'initrd',
      rootfs: 'rootfs.img',
      biosSev: 'sev.fd',
      cmdline: METADATA.cmdline,
      rootfsHash: fromHex(HASH),
      sharedRo: true,
      version: '0.5.10.rc1',
      isDev: false,
      ovmfVariant: 'pre202505',
    });
    const { bios, kernel, initrd, cmdline } = METADATA;
    expect(readImageMetadata(text(JSON.stringify({ bios, kernel, initrd, cmdline })))).toMatchObject({
      sharedRo: false,
      version: '',
    });
  });

  it('the first root hash of the command line counts', () => {
    const cmdline = `a dstack.rootfs_hash=${'CD'.repeat(32)} dstack.rootfs_hash=${HASH}`;
    expect(toHex(read({ cmdline }).rootfsHash)).toBe('cd'.repeat(32));
  });

  it.each([
    ['bios', '../ovmf.fd'],
    ['bios', '/etc/passwd'],
    ['bios', '..'],
    ['bios', '.hidden'],
    ['bios', ''],
    ['bios', 7],
    ['bios', null],
    ['kernel', 'a/b'],
    ['kernel', 'a\\b'],
    ['kernel', 'a\nb'],
    ['initrd', 'x'.repeat(256)],
    ['rootfs', '../x'],
    ['bios-sev', 'x/y'],
    ['cmdline', 'console=ttyS0'],
    ['cmdline', `xdstack.rootfs_hash=${HASH}`],
    ['cmdline', `dstack.rootfs_hash=${HASH}00`],
    ['cmdline', 'dstack.rootfs_hash='],
    ['rootfs_hash', 'cd'.repeat(32)],
    ['version', '1.2'],
    ['version', 'latest'],
    ['is_dev', 'yes'],
    ['ovmf_variant', 'since202505'],
  ])('%s %j is refused', (field, value) => {
    const thrown = failure(() => read({ [field]: value }));
    expect(thrown.code).toBe('DOCUMENT_INVALID');
    expect(thrown.message).toContain(field);
  });
});

describe('sha256sum.txt', () => {
  it('is written and read; its own hash is the identity', () => {
    const bytes = text(`${HASH}  metadata.json\n${'cd'.repeat(32)}  a b\n`);
    const checksums = parseChecksumFile(bytes);
    expect([...checksums.keys()]).toEqual(['metadata.json', 'a b']);
    expect(formatChecksumFile(checksums)).toEqual(bytes);
    expect(toHex(osImageHash(bytes))).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  it.each([
    ['no line', '', 1],
    ['an empty line', `${HASH}  a\n\n`, 2],
    ['a short digest', `${HASH.slice(2)}  a\n`, 1],
    ['one space', `${HASH} a\n`, 1],
    ['binary mode', `${HASH} *a\n`, 1],
    ['an escaped name', `\\${HASH}  a\n`, 1],
    ['a name twice', `${HASH}  a\n${HASH}  b\n${HASH}  a\n`, 3],
    ['a path', `${HASH}  ../a\n`, 1],
    ['no name', `${HASH}  \n`, 1],
    ['the line end of another system', `${HASH}  a\r\n`, 1],
  ])('%s is refused', (_, content, line) => {
    const thrown = failure(() => parseChecksumFile(text(content)));
    expect({ code: thrown.code, field: thrown.field }).toEqual({ code: 'DOCUMENT_INVALID', field: `line ${line}` });
  });

  it('is not endless, and is text', () => {
    expect(failure(() => parseChecksumFile(new Uint8Array(65_537).fill(10))).code).toBe('DOCUMENT_INVALID');
    expect(failure(() => parseChecksumFile(Uint8Array.of(0xff))).code).toBe('DOCUMENT_INVALID');
  });
});

describe('measurement.tdx.cbor', () => {
  const bytes = fromHex(vectors()[0]?.measurement_tdx_cbor ?? '');
  type Changes = (root: Map<string, CborValue>, image: Map<string, CborValue>, tdvf: Map<string, CborValue>) => unknown;
  const changed = (change: Changes): Uint8Array => {
    const part = (map: CborMap, key: string) => new Map(map.get(key) as CborMap);
    const root = new Map(decodeCbor(bytes) as CborMap);
    const [image, tdvf] = [part(root, 'image'), part(root, 'tdvf')];
    root.set('image', image).set('tdvf', tdvf);
    change(root, image, tdvf);
    return encodeCbor(root);
  };

  it('is written as it was read', () => {
    expect(writeMeasurementDocument(readMeasurementDocument(bytes))).toEqual(bytes);
  });

  it.each<[string, Changes]>([
    ['version', (root) => root.set('version', 2)],
    ['version', (root) => root.set('version', '3')],
    ['version', (root) => root.delete('version')],
    ['document', (root) => root.set('more', 1)],
    ['image', (root) => root.set('image', 1)],
    ['image', (_, image) => image.set('more', 1)],
    ['image.initrd_sha384', (_, image) => image.set('initrd_sha384', new Uint8Array(32))],
    ['image.initrd_sha384', (_, image) => image.delete('initrd_sha384')],
    ['image.cmdline_sha384', (_, image) => image.set('cmdline_sha384', 'text')],
    ['tdvf.ovmf', (_, __, tdvf) => tdvf.set('ovmf', 'since202505')],
    ['tdvf.mrtd', (_, __, tdvf) => tdvf.set('mrtd', new Map())],
    ['tdvf.td_hob', (_, __, tdvf) => tdvf.set('td_hob', Uint8Array.of(1))],
  ])('another %s is refused', (field, change) => {
    const thrown = failure(() => readMeasurementDocument(changed(change)));
    expect(thrown.code).toBe('IMAGE_MEASUREMENT_INVALID');
    expect(thrown.field?.startsWith(field)).toBe(true);
  });

  it('no byte of it can be changed without a refusal or another document', () => {
    const before = JSON.stringify(readMeasurementDocument(bytes));
    for (let at = 0; at < bytes.length; at++) {
      const copy = new Uint8Array(bytes);
      copy[at] = (copy[at] ?? 0) ^ 1;
      let after: string;
      try {
        after = JSON.stringify(readMeasurementDocument(copy));
      } catch (thrown) {
        expect((thrown as { code?: string }).code).toBe('IMAGE_MEASUREMENT_INVALID');
        continue;
      }
      expect(after, `byte ${at}`).not.toBe(before);
    }
  });

  it('belongs to an image through its checksum file', () => {
    const digest = createHash('sha256').update(bytes).digest('hex');
    const checksumFile = text(`${digest}  measurement.tdx.cbor\n`);
    const bound = readBoundMeasurement({ checksumFile, measurement: bytes });
    expect(bound.osImageHash).toEqual(osImageHash(checksumFile));
    expect(bound.document).toEqual(readMeasurementDocument(bytes));
    const other = { checksumFile: text(`${HASH}  measurement.tdx.cbor\n`), measurement: bytes };
    expect(failure(() => readBoundMeasurement(other)).message).toContain(`${digest}, the checksum file says ${HASH}`);
    const none = { checksumFile: text(`${digest}  measurement.cbor\n`), measurement: bytes };
    expect(failure(() => readBoundMeasurement(none)).code).toBe('IMAGE_MEASUREMENT_INVALID');
  });
});

describe('the shape of a VM', () => {
  it.each([
    [{}, 'single-pass'],
    [{ qemu_version: '8.0.0' }, 'two-pass'],
    [{ qemu_version: '8.2.2' }, 'two-pass'],
    [{ qemu_version: '8.99.0' }, 'two-pass'],
    [{ qemu_version: '9.0.0' }, 'single-pass'],
    [{ qemu_version: '10.0.2' }, 'single-pass'],
    // the platform reads the flag the other way round
    [{ qemu_version: '9.1.0', qemu_single_pass_add_pages: true }, 'two-pass'],
    [{ qemu_version: '8.2.2', qemu_single_pass_add_pages: false }, 'single-pass'],
  ])('%j measures %s', (config, order) => {
    expect(pageOrder(shapeFromVmConfig(readVmConfig(text(JSON.stringify(config)), 'vm_config')))).toBe(order);
  });

  it.each(['7.2.0', '9', '9.1', '9.1.0-rc1', '', '9.1.0.1'])('QEMU %j is refused', (qemuVersion) => {
    const thrown = failure(() => pageOrder({ qemuVersion }));
    expect(thrown.code).toBe('VM_SHAPE_UNSUPPORTED');
    expect(thrown.field).toBe('qemu_version');
  });

  it('has nothing of the rest of vm_config', () => {
    const vm = readVmConfig(
      text(JSON.stringify({ memory_size: 4096, image: 'x', pic: true, os_image_hash: 'ab' })),
      'v',
    );
    expect(shapeFromVmConfig(vm)).toEqual({
      cpuCount: 0,
      memorySize: 4096,
      pciHole64Size: 0,
      hugepages: false,
      numGpus: 0,
      numNvswitches: 0,
      numNics: 1,
      numVerityVolumes: 0,
      swtpm: false,
      hotplugOff: false,
      hostShareMode: '',
      pic: true,
    });
  });
});
