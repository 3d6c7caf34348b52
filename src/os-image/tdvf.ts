/** The metadata of a TDX firmware: which parts of the file go where, and which are measured (os-image, section 2). */
import { toHex } from '../codec/hex.ts';
import { DstackError } from '../errors.ts';
import { BytesView } from './bytes-view.ts';
import { guid } from './efi.ts';
import { type MemoryLayout, memoryLayout, PAGE_SIZE } from './memory-layout.ts';

/** Largest firmware in bytes; OVMF has 2 to 4 MiB. */
export const FIRMWARE_LIMIT = 16 * 1024 * 1024;

export type SectionType = 'BFV' | 'CFV' | 'TD_HOB' | 'TEMP_MEM';
const TYPES: readonly SectionType[] = ['BFV', 'CFV', 'TD_HOB', 'TEMP_MEM'];

export interface TdvfSection {
  readonly type: SectionType;
  /** what the file has of it, bytes; filled with zeros up to the memory size */
  readonly data: Uint8Array;
  /** guest-physical address and size in bytes, multiples of 4096 */
  readonly address: number;
  readonly memorySize: number;
  /** the content is measured into MRTD */
  readonly extend: boolean;
  /** pages are added while the guest runs, so their addition is not measured */
  readonly augmented: boolean;
}

const FOOTER = toHex(guid('96b582de-1fb2-45f7-baea-a366c55a082d'));
const METADATA = toHex(guid('e47a6535-984a-4798-865e-4685a7bf8ec2'));
/** Behind the table of identified entries. */
const BYTES_AFTER_TABLE = 32;
/** Identifier and length of an entry. */
const ENTRY = 18;
const SECTION = 32;
const SECTION_LIMIT = 64;
const MR_EXTEND = 1;
const PAGE_AUG = 2;
/** All sections together: more than any firmware needs, and quick to measure. */
const MEMORY_LIMIT = 64 * 1024 * 1024;

const invalid = (why: string): DstackError => new DstackError('FIRMWARE_INVALID', `TDX firmware: ${why}`);

/** The sections in file order. @throws FIRMWARE_INVALID */
export function parseTdvf(firmware: Uint8Array): readonly TdvfSection[] {
  if (firmware.length > FIRMWARE_LIMIT) throw invalid(`it has ${firmware.length} bytes, more than ${FIRMWARE_LIMIT}`);
  const view = new BytesView(firmware, invalid);
  const at = firmware.length - metadataOffset(view);
  if (!view.holds(at, '54445646', 'the descriptor')) throw invalid('its descriptor does not start with TDVF');
  const version = view.u32(at + 8, 'the version');
  if (version !== 1) throw invalid(`its metadata has version ${version}, not 1`);
  const count = view.u32(at + 12, 'the number of sections');
  if (count > SECTION_LIMIT) throw invalid(`it has ${count} sections, more than ${SECTION_LIMIT}`);
  const sections = Array.from({ length: count }, (_, index) => section(view, at + 16 + SECTION * index, index));
  const memory = sections.reduce((sum, { memorySize }) => sum + memorySize, 0);
  if (memory > MEMORY_LIMIT) throw invalid(`its sections have ${memory} bytes, more than ${MEMORY_LIMIT}`);
  const measured = sections.reduce((sum, { extend, data }) => sum + (extend ? data.length : 0), 0);
  if (measured > firmware.length) throw invalid('its sections measure the same bytes twice');
  return sections;
}

/** Walks the table of identified entries from its end; each has its length in front of its identifier. */
function metadataOffset(view: BytesView): number {
  const end = view.bytes.length - BYTES_AFTER_TABLE;
  if (!view.holds(end - 16, FOOTER, 'the table of entries')) throw invalid('it has no table of identified entries');
  const tableEnd = end - ENTRY;
  const length = view.u16(tableEnd, 'the length of the table');
  const start = tableEnd - length;
  if (length === 0 || start < 0) throw invalid(`its table of entries has ${length} bytes`);
  for (let at = tableEnd; at - ENTRY >= start; ) {
    const size = view.u16(at - ENTRY, 'the length of an entry');
    if (size < ENTRY || at - size < start) throw invalid(`an entry of its table has ${size} bytes`);
    if (view.holds(at - 16, METADATA, 'an entry')) {
      if (size < ENTRY + 4) throw invalid(`the entry of its TDX metadata has ${size} bytes`);
      return view.u32(at - ENTRY - 4, 'the offset of the TDX metadata');
    }
    at -= size;
  }
  throw invalid('it has no TDX metadata: a firmware of another kind');
}

function section(view: BytesView, at: number, index: number): TdvfSection {
  const name = `section ${index}`;
  const dataOffset = view.u32(at, name);
  const dataSize = view.u32(at + 4, name);
  const address = view.u64(at + 8, `the address of ${name}`);
  const memorySize = view.u64(at + 16, `the size of ${name}`);
  const code = view.u32(at + 24, name);
  const attributes = view.u32(at + 28, name);
  const type = TYPES[code];
  if (type === undefined) throw invalid(`${name} has type ${code}, whose measurement is not known`);
  if (attributes > (MR_EXTEND | PAGE_AUG)) throw invalid(`${name} has unknown attributes 0x${attributes.toString(16)}`);
  if (address % PAGE_SIZE !== 0) throw invalid(`${name} does not start at a page`);
  if (memorySize % PAGE_SIZE !== 0) throw invalid(`${name} does not have whole pages`);
  if (memorySize < dataSize) throw invalid(`${name} has more data than memory`);
  const extend = (attributes & MR_EXTEND) !== 0;
  if (extend && memorySize !== dataSize) {
    throw invalid(`${name} is measured but not filled by the file: how it is filled up is not known`);
  }
  const data = view.cut(dataOffset, dataSize, `the data of ${name}`);
  return { type, data, address, memorySize, extend, augmented: (attributes & PAGE_AUG) !== 0 };
}

/** What the hand-off block list is made from. @throws FIRMWARE_INVALID */
export function memoryLayoutOf(sections: readonly TdvfSection[]): MemoryLayout {
  const owned = sections.filter(({ type }) => type === 'TD_HOB' || type === 'TEMP_MEM');
  const hobs = owned.filter(({ type }) => type === 'TD_HOB');
  const hob = hobs[0];
  if (hob === undefined || hobs.length > 1) throw invalid(`it has ${hobs.length} TD_HOB sections, not one`);
  const ranges = owned.map(({ address, memorySize }) => ({
    start: address / PAGE_SIZE,
    count: memorySize / PAGE_SIZE,
  }));
  return memoryLayout(hob.address / PAGE_SIZE, ranges, (why) => invalid(`it ${why}`));
}

/** The configuration volume: EFI variables as the firmware starts with them. @throws FIRMWARE_INVALID unless there is one */
export function configurationVolume(sections: readonly TdvfSection[]): Uint8Array {
  const volumes = sections.filter(({ type }) => type === 'CFV');
  const volume = volumes[0];
  if (volume === undefined || volumes.length > 1) throw invalid(`it has ${volumes.length} CFV sections, not one`);
  return volume.data;
}
