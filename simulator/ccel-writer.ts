/** Writing a boot event log as firmware does (TCG PC Client Platform Firmware Profile, crypto-agile log). */
import { createHash } from 'node:crypto';
import { concat } from '../src/codec/bytes.ts';

/** Size of the table area; the rest behind the log is filled with 0xFF. */
export const CCEL_SIZE = 65_536;

export const EVENT_TYPE = {
  noAction: 3,
  separator: 4,
  eventTag: 6,
  platformConfigFlags: 0xa,
  variableDriverConfig: 0x80000001,
  variableBoot: 0x80000002,
  bootServicesApplication: 0x80000003,
  action: 0x80000007,
  platformFirmwareBlob2: 0x8000000a,
  handoffTables2: 0x8000000b,
} as const;

const SHA384 = 0x000c;

export const u16 = (value: number): Uint8Array => Uint8Array.of(value & 0xff, value >> 8);
export const u32 = (value: number): Uint8Array => {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value, true);
  return out;
};
const u64 = (value: number): Uint8Array => concat(u32(value), u32(0));
export const ascii = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));
const utf16 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'utf16le'));
export const sha384 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash('sha384').update(bytes).digest());

/** The header: an EV_NO_ACTION event of the old format that names the algorithms of the rest. */
function header(): Uint8Array {
  const data = concat(
    ascii('Spec ID Event03\0'),
    u32(0), // platform class: client
    Uint8Array.of(0, 2, 0, 2), // version 2.0, errata 0, UINTN of 64 bits
    u32(1),
    u16(SHA384),
    u16(48),
    Uint8Array.of(0), // no vendor data
  );
  return concat(u32(0), u32(EVENT_TYPE.noAction), new Uint8Array(20), u32(data.length), data);
}

export interface LoggedEvent {
  /** 0 to 2; the table counts from one */
  readonly register: 0 | 1 | 2;
  readonly type: number;
  /** 48 bytes: what was extended */
  readonly digest: Uint8Array;
  readonly data: Uint8Array;
}

// mixed-endian GUIDs: EFI global variables, image security database
const GLOBAL = Buffer.from('61dfe48bca93d211aa0d00e098032b8c', 'hex');
const SECURITY = Buffer.from('cbb219d73a3d9645a3bcdad00e67656f', 'hex');

/** UEFI_VARIABLE_DATA */
export const variableData = (name: string, data: Uint8Array = new Uint8Array()): Uint8Array =>
  concat(name === 'db' || name === 'dbx' ? SECURITY : GLOBAL, u64(name.length), u64(data.length), utf16(name), data);

/** The table of 65536 bytes. */
export function ccelTable(events: readonly LoggedEvent[]): Uint8Array {
  const entries = events.map(({ register, type, digest, data }) =>
    concat(u32(register + 1), u32(type), u32(1), u16(SHA384), digest, u32(data.length), data),
  );
  const table = new Uint8Array(CCEL_SIZE).fill(0xff);
  table.set(concat(header(), ...entries));
  return table;
}
