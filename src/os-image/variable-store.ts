/** The EFI variables that a firmware file brings along (EDK II, MdeModulePkg/Include/Guid/VariableFormat.h). */
import { toHex } from '../codec/hex.ts';
import { guid } from './efi.ts';

/** Of the volume's header. */
const SIGNATURE_AT = 0x28;
const HEADER_LENGTH_AT = 0x30;
/** `_FVH` */
const SIGNATURE = '5f465648';
/** Of the store: identifier, size, format, state, reserved. */
const STORE_HEADER = 28;
const STORE_SIZE_AT = 16;
/** Stores with and without authenticated variables. */
const STORES = ['aaf32c78-947b-439a-a180-2e144ec37792', 'ddcf3616-3275-4164-98b6-fe85707ffe7d'].map((text) =>
  toHex(guid(text)),
);

/** Whether a configuration volume is a variable store without a variable: erased flash behind its header. */
export function isEmptyVariableStore(volume: Uint8Array): boolean {
  if (volume.length < HEADER_LENGTH_AT + 2) return false;
  const view = new DataView(volume.buffer, volume.byteOffset, volume.byteLength);
  const header = view.getUint16(HEADER_LENGTH_AT, true);
  if (toHex(volume.subarray(SIGNATURE_AT, SIGNATURE_AT + 4)) !== SIGNATURE) return false;
  if (header + STORE_HEADER > volume.length) return false;
  if (!STORES.includes(toHex(volume.subarray(header, header + 16)))) return false;
  const end = header + view.getUint32(header + STORE_SIZE_AT, true);
  if (end > volume.length) return false;
  return volume.subarray(header + STORE_HEADER, end).every((byte) => byte === 0xff);
}
