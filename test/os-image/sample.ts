/** Small inputs of the right form: a TDX firmware, and the kernels, initrd and cases of the vectors. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { concat } from '../../src/codec/bytes.ts';
import { guid } from '../../src/os-image/efi.ts';
import { type ImageParts, readImageMetadata } from '../../src/os-image/os-image.ts';

const DIR = 'test/vectors/os-image';
const file = (name: string): Uint8Array => new Uint8Array(readFileSync(`${DIR}/${name}`));

export const kernelA = (): Uint8Array => file('kernel-a');
export const kernelB = (): Uint8Array => file('kernel-b');
export const initrdA = (): Uint8Array => file('initrd-a');

export interface Registers {
  mrtd: string;
  rtmr0: string;
  rtmr1: string;
  rtmr2: string;
}

export interface Vector {
  firmware: string;
  firmware_sha256: string;
  kernel: 'kernel-a' | 'kernel-b';
  kernel_sha256: string;
  initrd: 'initrd-a';
  metadata: Record<string, unknown>;
  acpi_hashes: { loader: string; rsdp: string; tables: string };
  cases: { vm_config: Record<string, unknown>; with_acpi_hashes: Registers; without_rtmr0: Omit<Registers, 'rtmr0'> }[];
  measurement: {
    image: Record<'initrd_sha384' | 'kernel_authenticode' | 'kernel_cmdline_sha384', string>;
    tdvf: { mrtd: Record<'single_pass' | 'two_pass', string>; ovmf_variant: string; td_hob_witness: string };
  };
  measurement_tdx_cbor: string;
  measurement_hash: string;
}

export const vectors = (): Vector[] => JSON.parse(readFileSync(`${DIR}/vectors.json`, 'utf8'));

const PAGE = 4096;

/** One section as its 32 bytes: data offset and size, address, memory size, type, attributes. */
export type SectionFields = readonly [number, number, number, number, number, number];

/** Configuration volume, code, hand-off block and temporary memory, as OVMF has them but smaller. */
export const SECTIONS: readonly SectionFields[] = [
  [PAGE, 2 * PAGE, 0xfffc_1000, 2 * PAGE, 0, 1],
  [0, PAGE, 0xfffc_0000, PAGE, 1, 0],
  [0, 0, 0x81_0000, 0x1_0000, 3, 0],
  [0, 0, 0x80_b000, 0x2000, 3, 0],
  [0, 0, 0x80_9000, 0x2000, 2, 0],
  [0, 0, 0x80_0000, 0x6000, 3, 0],
];

/** A volume of one page with an empty store of authenticated variables. */
export function emptyVolume(): Uint8Array {
  const volume = new Uint8Array(PAGE).fill(0xff);
  volume.fill(0, 0, 0x64);
  volume.set(Buffer.from('_FVH'), 0x28);
  const view = new DataView(volume.buffer);
  view.setUint16(0x30, 0x48, true);
  volume.set(guid('aaf32c78-947b-439a-a180-2e144ec37792'), 0x48);
  view.setUint32(0x58, 0x800, true);
  return volume;
}

/** A firmware of five pages: volume, two pages of code, descriptor, table of entries. */
export function buildFirmware(sections = SECTIONS, volume = emptyVolume()): Uint8Array {
  const out = new Uint8Array(5 * PAGE);
  out.set(volume);
  out.fill(0x90, PAGE, 3 * PAGE);
  const descriptor = 3 * PAGE;
  const view = new DataView(out.buffer);
  out.set(Buffer.from('TDVF'), descriptor);
  view.setUint32(descriptor + 4, 16 + 32 * sections.length, true);
  view.setUint32(descriptor + 8, 1, true);
  view.setUint32(descriptor + 12, sections.length, true);
  for (const [index, [offset, size, address, memory, type, attributes]] of sections.entries()) {
    const at = descriptor + 16 + 32 * index;
    view.setUint32(at, offset, true);
    view.setUint32(at + 4, size, true);
    view.setBigUint64(at + 8, BigInt(address), true);
    view.setBigUint64(at + 16, BigInt(memory), true);
    view.setUint32(at + 24, type, true);
    view.setUint32(at + 28, attributes, true);
  }
  const u16 = (value: number) => Uint8Array.of(value & 0xff, value >> 8);
  const entry = (name: string, data: Uint8Array) => concat(data, u16(data.length + 18), guid(name));
  const offset = new Uint8Array(4);
  new DataView(offset.buffer).setUint32(0, out.length - descriptor, true);
  const entries = concat(
    entry('e47a6535-984a-4798-865e-4685a7bf8ec2', offset),
    entry('00f771de-1a7e-4fcb-890e-68c77e2fb44e', new Uint8Array(4)),
  );
  const footer = concat(u16(entries.length), guid('96b582de-1fb2-45f7-baea-a366c55a082d'));
  out.set(entries, out.length - 32 - footer.length - entries.length);
  out.set(footer, out.length - 32 - footer.length);
  return out;
}

export const METADATA = {
  bios: 'ovmf.fd',
  kernel: 'bzImage',
  initrd: 'initrd',
  rootfs: 'rootfs.img',
  cmdline: `console=ttyS0 dstack.rootfs_hash=${'ab'.repeat(32)}`,
  version: '0.6.0',
  is_dev: false,
  shared_ro: true,
};

/** The measured parts of an image. */
export function imageParts(
  changes: { metadata?: object; firmware?: Uint8Array; kernel?: Uint8Array; initrd?: Uint8Array } = {},
): ImageParts {
  const initrd = changes.initrd ?? initrdA();
  return {
    metadata: readImageMetadata(Buffer.from(JSON.stringify({ ...METADATA, ...changes.metadata }))),
    firmware: changes.firmware ?? buildFirmware(),
    kernel: changes.kernel ?? kernelA(),
    initrd: { size: initrd.length, sha384: new Uint8Array(createHash('sha384').update(initrd).digest()) },
  };
}
