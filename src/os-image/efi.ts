/** Pieces of UEFI that firmware measures: identifiers, variables and the boot option of its own setup screen. */

import { concat } from '../codec/bytes.ts';
import { fromHex } from '../codec/hex.ts';

export const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

/** UTF-16LE without a terminator. */
export const utf16 = (text: string): Uint8Array =>
  concat(...Array.from({ length: text.length }, (_, at) => u16(text.charCodeAt(at))));

/** The 16 bytes of an identifier: its first three groups are little-endian (UEFI specification, appendix A). */
export function guid(text: string): Uint8Array {
  const bytes = fromHex(text.replaceAll('-', ''));
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}

export const GLOBAL_VARIABLE = guid('8be4df61-93ca-11d2-aa0d-00e098032b8c');
export const IMAGE_SECURITY = guid('d719b2cb-3d3a-4596-a3bc-dad00e67656f');

const u16 = (value: number): Uint8Array => Uint8Array.of(value & 0xff, value >> 8);

/** UEFI_VARIABLE_DATA of a variable without content (TCG PC Client firmware profile, EV_EFI_VARIABLE_DRIVER_CONFIG). */
export function emptyVariable(vendor: Uint8Array, name: string): Uint8Array {
  const lengths = new Uint8Array(16);
  new DataView(lengths.buffer).setUint32(0, name.length, true);
  return concat(vendor, lengths, utf16(name));
}

/** Attributes of the option: active, hidden, an application. */
const SETUP_ATTRIBUTES = Uint8Array.of(0x09, 0x01, 0, 0);
/** Firmware volume and file that the option names: the drivers' volume of OVMF and its setup screen. */
const DRIVER_VOLUME = guid('7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1');
const SETUP_FILE = guid('462caa21-7614-4503-836e-8ab6f4662331');

/**
 * EFI_LOAD_OPTION `UiApp`, which OVMF stores as Boot0000: attributes, length of the device path, name, and the path
 * (media device path nodes 7 and 6, end node; UEFI specification, chapter 10).
 */
export function setupBootOption(): Uint8Array {
  const path = concat(
    Uint8Array.of(4, 7, 20, 0),
    DRIVER_VOLUME,
    Uint8Array.of(4, 6, 20, 0),
    SETUP_FILE,
    Uint8Array.of(0x7f, 0xff, 4, 0),
  );
  return concat(SETUP_ATTRIBUTES, u16(path.length), utf16('UiApp'), u16(0), path);
}
