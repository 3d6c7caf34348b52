/**
 * A synthetic boot event log in the format of a real firmware (TCG PC Client Platform Firmware Profile, crypto-agile log):
 * the same event types in the same registers, with invented content. It is the same in every boot.
 */
import { createHash } from 'node:crypto';
import { concat } from '../src/codec/bytes.ts';
import { ACPI_DATA } from '../src/tdx/tdx-event.ts';

/** Size of the table area; the rest behind the log is filled with 0xFF. */
export const CCEL_SIZE = 65_536;

const EVENT_TYPE = {
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

const u16 = (value: number): Uint8Array => Uint8Array.of(value & 0xff, value >> 8);
const u32 = (value: number): Uint8Array => {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value, true);
  return out;
};
const u64 = (value: number): Uint8Array => concat(u32(value), u32(0));
const ascii = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));
const utf16 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'utf16le'));
const sha384 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash('sha384').update(bytes).digest());

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

/** One event; what is measured is the data itself unless something else is named. */
function event(register: 1 | 2 | 3, type: number, data: Uint8Array, measured: Uint8Array = data): Uint8Array {
  return concat(u32(register), u32(type), u32(1), u16(SHA384), sha384(measured), u32(data.length), data);
}

// mixed-endian GUIDs: EFI global variables, image security database
const GLOBAL = Buffer.from('61dfe48bca93d211aa0d00e098032b8c', 'hex');
const SECURITY = Buffer.from('cbb219d73a3d9645a3bcdad00e67656f', 'hex');

/** UEFI_VARIABLE_DATA */
const variable = (guid: Uint8Array, name: string, data: Uint8Array): Uint8Array =>
  concat(guid, u64(name.length), u64(data.length), utf16(name), data);

function acpiData(table: string): Uint8Array {
  return event(1, EVENT_TYPE.platformConfigFlags, ascii(ACPI_DATA), ascii(`dstack-sim ${table}`));
}

/** The table of 65536 bytes. Registers in the table are one-based: 1 is RTMR0. */
export function mockCcel(): Uint8Array {
  const separator = u32(0);
  const log = concat(
    header(),
    event(1, EVENT_TYPE.handoffTables2, ascii('dstack-sim TD HOB')),
    event(1, EVENT_TYPE.platformFirmwareBlob2, ascii('dstack-sim configuration firmware volume')),
    event(1, EVENT_TYPE.variableDriverConfig, variable(GLOBAL, 'SecureBoot', new Uint8Array())),
    event(1, EVENT_TYPE.variableDriverConfig, variable(GLOBAL, 'PK', new Uint8Array())),
    event(1, EVENT_TYPE.variableDriverConfig, variable(GLOBAL, 'KEK', new Uint8Array())),
    event(1, EVENT_TYPE.variableDriverConfig, variable(SECURITY, 'db', new Uint8Array())),
    event(1, EVENT_TYPE.variableDriverConfig, variable(SECURITY, 'dbx', new Uint8Array())),
    event(1, EVENT_TYPE.separator, separator),
    acpiData('table loader'),
    acpiData('RSDP'),
    acpiData('tables'),
    event(1, EVENT_TYPE.variableBoot, variable(GLOBAL, 'BootOrder', u16(0)), u16(0)),
    event(2, EVENT_TYPE.bootServicesApplication, ascii('dstack-sim kernel image')),
    event(2, EVENT_TYPE.action, ascii('Calling EFI Application from Boot Option')),
    event(2, EVENT_TYPE.separator, separator),
    event(3, EVENT_TYPE.eventTag, ascii('LOADED_IMAGE::LoadOptions\0'), ascii('dstack-sim kernel command line')),
    event(3, EVENT_TYPE.eventTag, ascii('Linux initrd\0'), ascii('dstack-sim initrd')),
    event(2, EVENT_TYPE.action, ascii('Exit Boot Services Invocation')),
    event(2, EVENT_TYPE.action, ascii('Exit Boot Services Returned with Success')),
  );
  const table = new Uint8Array(CCEL_SIZE).fill(0xff);
  table.set(log);
  return table;
}
