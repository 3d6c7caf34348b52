/** A small firmware for Intel TDX: real metadata and an empty variable store around a body that says nothing. */
import { concat } from '../../src/codec/bytes.ts';

const PAGE = 4096;
export const BODY_SIZE = 4 * PAGE;
export const VOLUME_SIZE = 2 * PAGE;

/** Mixed-endian bytes of an identifier. */
function guid(text: string): Uint8Array {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex');
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return new Uint8Array(bytes);
}

const numbers = (...values: readonly [value: number, bytes: 2 | 4 | 8][]): Uint8Array =>
  concat(
    ...values.map(([value, bytes]) => {
      const out = Buffer.alloc(bytes);
      out.writeUIntLE(value, 0, Math.min(bytes, 6));
      return new Uint8Array(out);
    }),
  );

/** A firmware volume that holds an authenticated variable store and no variable. */
export function emptyVariableStore(size = VOLUME_SIZE): Uint8Array {
  const volume = new Uint8Array(size).fill(0xff);
  const header = new Uint8Array(0x48);
  header.set(Buffer.from('_FVH'), 0x28);
  header.set(numbers([header.length, 2]), 0x30);
  const store = concat(
    guid('aaf32c78-947b-439a-a180-2e144ec37792'),
    numbers([size - header.length, 4], [0xfe5a, 4], [0, 4]),
  );
  volume.set(header);
  volume.set(store, header.length);
  return volume;
}

/** @returns the file: configuration volume, body, metadata, table of identified entries */
export function testFirmware(volume: Uint8Array = emptyVariableStore()): Uint8Array {
  const body = new Uint8Array(BODY_SIZE).fill(0x90);
  const section = (offset: number, raw: number, address: number, size: number, type: number, attributes: number) =>
    numbers([offset, 4], [raw, 4], [address, 8], [size, 8], [type, 4], [attributes, 4]);
  const high = 2 ** 32 - volume.length - BODY_SIZE;
  const sections = [
    section(volume.length, BODY_SIZE, high + volume.length, BODY_SIZE, 0, 1),
    section(0, volume.length, high, volume.length, 1, 0),
    section(0, 0, 0x81_0000, 0x1_0000, 3, 0),
    section(0, 0, 0x80_9000, 0x2000, 2, 0),
  ];
  const descriptor = concat(
    new Uint8Array(Buffer.from('TDVF')),
    numbers([16 + 32 * sections.length, 4], [1, 4], [sections.length, 4]),
    ...sections,
  );
  const entry = (offset: number) => concat(numbers([offset, 4], [22, 2]), guid('e47a6535-984a-4798-865e-4685a7bf8ec2'));
  // the offset counts from the end of the file
  const table = entry(descriptor.length + 22 + 18 + 32);
  const footer = concat(numbers([table.length, 2]), guid('96b582de-1fb2-45f7-baea-a366c55a082d'));
  return concat(volume, body, descriptor, table, footer, new Uint8Array(32));
}
