/** MRTD: how the TDX module measures a TD before it starts (Intel TDX module ABI, TDH.MEM.PAGE.ADD and TDH.MR.EXTEND). */
import { type Hasher, hasher } from '../crypto/hash.ts';
import { ascii } from './efi.ts';
import { PAGE_SIZE } from './memory-layout.ts';
import type { PageOrder } from './shape.ts';
import type { TdvfSection } from './tdvf.ts';

const RECORD = 128;
const CHUNK = 256;
const CHUNKS = PAGE_SIZE / CHUNK;
/** Where the guest-physical address stands in a record. */
const ADDRESS_AT = 16;

/** One record: a name, an address, zeros. */
function record(name: string): { bytes: Uint8Array; at: (address: number) => Uint8Array } {
  const bytes = new Uint8Array(RECORD);
  bytes.set(ascii(name));
  const view = new DataView(bytes.buffer);
  const at = (address: number) => {
    view.setBigUint64(ADDRESS_AT, BigInt(address), true);
    return bytes;
  };
  return { bytes, at };
}

/** MRTD of a TD with this firmware, 48 bytes. */
export function computeMrtd(sections: readonly TdvfSection[], order: PageOrder): Uint8Array {
  const hash = hasher('sha384');
  const add = record('MEM.PAGE.ADD');
  const extendPage = pageExtender(hash);
  for (const section of sections) {
    const pages = section.memorySize / PAGE_SIZE;
    const addPage = (page: number) => {
      if (!section.augmented) hash.update(add.at(section.address + page * PAGE_SIZE));
    };
    if (order === 'two-pass') {
      for (let page = 0; page < pages; page++) addPage(page);
      for (let page = 0; page < pages; page++) extendPage(section, page);
    } else {
      for (let page = 0; page < pages; page++) {
        addPage(page);
        extendPage(section, page);
      }
    }
  }
  return hash.digest();
}

/** Measures the sixteen chunks of a page, each behind its record, in one go. */
function pageExtender(hash: Hasher): (section: TdvfSection, page: number) => void {
  const extend = record('MR.EXTEND');
  const buffer = new Uint8Array(CHUNKS * (RECORD + CHUNK));
  return ({ extend: measured, data, address }, page) => {
    if (!measured) return;
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      const offset = page * PAGE_SIZE + chunk * CHUNK;
      const at = chunk * (RECORD + CHUNK);
      buffer.set(extend.at(address + offset), at);
      buffer.set(data.subarray(offset, offset + CHUNK), at + RECORD);
    }
    hash.update(buffer);
  };
}
