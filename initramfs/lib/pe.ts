/** What a UKI holds: the sections of a PE file, read by the reader that also measures kernels. */
import { type PeSection, peSections as sectionsOf } from '../../src/os-image/pe.ts';

/** The sections in the order of the table; an error names what does not lie within the file. */
export const peSections = (file: Uint8Array): readonly PeSection[] => sectionsOf(file, (why) => new Error(why));

/** Whether a section is these bytes and nothing but zeros behind them. */
export function holdsExactly({ data }: PeSection, bytes: Uint8Array): boolean {
  if (data.length < bytes.length || Buffer.compare(data.subarray(0, bytes.length), bytes) !== 0) return false;
  return data.subarray(bytes.length).every((byte) => byte === 0);
}
