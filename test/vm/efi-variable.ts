/** A variable of the firmware, written by the host into an empty variable store (EDK2: MdeModulePkg VariableFormat.h). */
import { open } from 'node:fs/promises';

export interface EfiVariable {
  readonly name: string;
  /** in its usual text form */
  readonly vendor: string;
  readonly data: Uint8Array;
}

/** 16 bytes; the first three groups are little-endian (UEFI specification 2.10, appendix A). */
export function guidBytes(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex');
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}

/** Text as systemd reads it from a variable: UTF-16 with a terminator. */
export const utf16 = (text: string): Buffer => Buffer.from(`${text}\0`, 'utf16le');

/** What OVMF's store of authenticated variables begins with. */
const STORE = guidBytes('aaf32c78-947b-439a-a180-2e144ec37792');
const STORE_HEADER = 28;
const FV_HEADER_LENGTH_AT = 0x30;
/** non-volatile, for boot services and at run time */
const ATTRIBUTES = 7;

/** Puts a variable into the empty store of an `OVMF_VARS` file. */
export async function writeEfiVariable(file: string, { name, vendor, data }: EfiVariable): Promise<void> {
  const header = Buffer.alloc(60);
  const named = utf16(name);
  header.writeUInt16LE(0x55aa, 0);
  header.writeUInt8(0x3f, 2); // it is there, and whole
  header.writeUInt32LE(ATTRIBUTES, 4);
  header.writeUInt32LE(named.length, 36);
  header.writeUInt32LE(data.length, 40);
  guidBytes(vendor).copy(header, 44);
  const handle = await open(file, 'r+');
  try {
    const start = Buffer.alloc(FV_HEADER_LENGTH_AT + 2);
    await handle.read(start, 0, start.length, 0);
    const store = start.readUInt16LE(FV_HEADER_LENGTH_AT);
    const there = Buffer.alloc(STORE_HEADER + 1);
    await handle.read(there, 0, there.length, store);
    if (!there.subarray(0, 16).equals(STORE) || there.at(STORE_HEADER) !== 0xff)
      throw new Error(`${file} holds no empty store of authenticated variables`);
    const variable = Buffer.concat([header, named, data]);
    await handle.write(variable, 0, variable.length, store + STORE_HEADER);
  } finally {
    await handle.close();
  }
}
