/** PE files (Microsoft PE/COFF specification, chapters 3 and 4): their sections, and the digest that firmware measures. */

import { latin1 } from '../codec/text.ts';
import { hasher } from '../crypto/hash.ts';
import { BytesView } from './bytes-view.ts';

export interface PeSection {
  readonly name: string;
  /** where its data starts in the file */
  readonly offset: number;
  /** the bytes in the file; linkers round their number up with zeros */
  readonly data: Uint8Array;
}

export interface PeFile {
  /** in the order of the table */
  readonly sections: readonly PeSection[];
  /** offsets of the fields that Authenticode leaves out */
  readonly checksumAt: number;
  readonly certificateEntryAt: number;
  readonly headersSize: number;
  /** 0 without signatures */
  readonly certificatesSize: number;
}

const COFF_HEADER = 24; // with the signature in front
const SECTION_HEADER = 40;
/** Of the optional header: CheckSum, SizeOfHeaders, and the data directories of both forms. */
const CHECKSUM = 64;
const HEADERS_SIZE = 60;
const DIRECTORIES = { 267: 96, 523: 112 } as const;
const CERTIFICATES = 4;

/** The sections in the order of the table; all of their data lies within the file. @param fail makes the error of a reason */
export function peSections(file: Uint8Array, fail: (why: string) => Error): readonly PeSection[] {
  const { view, count, table } = sectionTable(file, fail);
  return Array.from({ length: count }, (_, index) => section(view, table + index * SECTION_HEADER));
}

function sectionTable(file: Uint8Array, fail: (why: string) => Error) {
  const view = new BytesView(file, (why) => fail(`not a PE file: ${why}`));
  if (view.u16(0, 'the DOS header') !== 0x5a4d) throw view.fail('no MZ at the start');
  const pe = view.u32(0x3c, 'the DOS header');
  view.need(pe, COFF_HEADER, 'the COFF header');
  if (!view.holds(pe, '50450000', 'the signature')) throw view.fail(`no PE signature at ${pe}`);
  const count = view.u16(pe + 6, 'the number of sections');
  const optional = pe + COFF_HEADER;
  const optionalSize = view.u16(pe + 20, 'the size of the optional header');
  const table = optional + optionalSize;
  view.need(table, count * SECTION_HEADER, `the table of ${count} sections`);
  return { view, count, optional, optionalSize, table };
}

/** Reads sections and headers; everything they name lies within the file. @param fail makes the error of a reason */
export function parsePe(file: Uint8Array, fail: (why: string) => Error): PeFile {
  const { view, optional, optionalSize } = sectionTable(file, fail);
  const magic = view.u16(optional, 'the optional header');
  if (magic !== 0x10b && magic !== 0x20b) throw view.fail(`the optional header is of kind 0x${magic.toString(16)}`);
  const directories = DIRECTORIES[magic];
  const certificates = directories + 8 * CERTIFICATES;
  if (optionalSize < certificates + 8 || view.u32(optional + directories - 4, 'the directories') <= CERTIFICATES) {
    throw view.fail('the optional header has no entry for certificates');
  }
  const headersSize = view.u32(optional + HEADERS_SIZE, 'the size of the headers');
  view.need(0, headersSize, 'the headers');
  if (headersSize < optional + certificates + 8) throw view.fail(`its headers have ${headersSize} bytes only`);
  const certificateOffset = view.u32(optional + certificates, 'the certificates');
  const certificatesSize = certificateOffset === 0 ? 0 : view.u32(optional + certificates + 4, 'the certificates');
  return {
    sections: peSections(file, fail),
    checksumAt: optional + CHECKSUM,
    certificateEntryAt: optional + certificates,
    headersSize,
    certificatesSize,
  };
}

function section(view: BytesView, at: number): PeSection {
  const name = latin1(view.cut(at, 8, 'the name of a section')).replace(/\0+$/, '');
  const size = view.u32(at + 16, 'a section');
  const offset = view.u32(at + 20, 'a section');
  const data = size === 0 ? new Uint8Array() : view.cut(offset, size, `section ${JSON.stringify(name)}`);
  return { name, offset, data };
}

/** The digest of a PE file, and whether all firmware agrees on it. */
export interface Authenticode {
  /** SHA-384, 48 bytes */
  readonly digest: Uint8Array;
  /** a sentence when implementations differ for a file of this form */
  readonly doubt?: string;
}

/**
 * Authenticode digest (Windows Authenticode Portable Executable Signature Format, "Calculating the PE image hash"), with
 * the platform's reading of two points: bytes behind the sections count only with a certificate table, and zeros fill the
 * file up to a multiple of 8.
 * @param fail makes the error of a reason: also of sections that overlap
 */
export function authenticode(file: Uint8Array, fail: (why: string) => Error): Authenticode {
  const { sections, checksumAt, certificateEntryAt, headersSize, certificatesSize } = parsePe(file, fail);
  const hash = hasher('sha384');
  hash.update(file.subarray(0, checksumAt));
  hash.update(file.subarray(checksumAt + 4, certificateEntryAt));
  hash.update(file.subarray(certificateEntryAt + 8, headersSize));
  const filled = sections.filter(({ data }) => data.length > 0).toSorted((a, b) => a.offset - b.offset);
  let end = headersSize;
  let counted = headersSize;
  for (const { name, offset, data } of filled) {
    if (offset < end) throw fail(`section ${JSON.stringify(name)} overlaps what stands before it`);
    hash.update(data);
    end = offset + data.length;
    counted += data.length;
  }
  const behind = file.length - counted;
  const trailing = certificatesSize > 0 && behind > certificatesSize;
  if (trailing) hash.update(file.subarray(counted, file.length - certificatesSize));
  const padding = (8 - (file.length % 8)) % 8;
  hash.update(new Uint8Array(padding));
  const digest = new Uint8Array(hash.digest());
  if (behind > 0 && certificatesSize === 0)
    return { digest, doubt: `${behind} bytes behind the sections of the kernel` };
  return padding > 0 ? { digest, doubt: 'the kernel’s size is not a multiple of 8' } : { digest };
}
