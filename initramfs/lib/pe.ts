/** Reads the sections of a PE file (Microsoft PE/COFF specification, chapters 3 and 4): what a UKI holds. */

export interface PeSection {
  readonly name: string;
  /** the bytes in the file; linkers round their number up with zeros */
  readonly data: Uint8Array;
}

const DOS_HEADER = 0x40;
const COFF_HEADER = 24; // with the signature in front
const SECTION_HEADER = 40;

/** The sections of a 64-bit PE file in file order; an error names what does not lie within the file. */
export function peSections(file: Uint8Array): PeSection[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const need = (end: number, what: string) => {
    if (end > file.length) throw new Error(`not a PE file: ${what} does not end within its ${file.length} bytes`);
  };
  need(DOS_HEADER, 'the DOS header');
  if (view.getUint16(0) !== 0x4d5a) throw new Error('not a PE file: no MZ at the start');
  const pe = view.getUint32(0x3c, true);
  need(pe + COFF_HEADER, 'the COFF header');
  if (view.getUint32(pe) !== 0x50450000) throw new Error(`not a PE file: no PE signature at ${pe}`);
  const count = view.getUint16(pe + 6, true);
  const table = pe + COFF_HEADER + view.getUint16(pe + 20, true);
  need(table + count * SECTION_HEADER, `the table of ${count} sections`);
  return Array.from({ length: count }, (_, i) => {
    const at = table + i * SECTION_HEADER;
    const name = new TextDecoder('latin1').decode(file.subarray(at, at + 8)).replace(/\0+$/, '');
    const start = view.getUint32(at + 20, true);
    const end = start + view.getUint32(at + 16, true);
    need(end, `section ${name}`);
    return { name, data: file.subarray(start, end) };
  });
}

/** Whether a section is these bytes and nothing but zeros behind them. */
export function holdsExactly({ data }: PeSection, bytes: Uint8Array): boolean {
  if (data.length < bytes.length || Buffer.compare(data.subarray(0, bytes.length), bytes) !== 0) return false;
  return data.subarray(bytes.length).every((byte) => byte === 0);
}
