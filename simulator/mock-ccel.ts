/**
 * A synthetic boot event log: the event types of a real firmware in the same registers, with invented content. It is the
 * same in every boot. A machine whose image is known has a log that says what that image measures: system-ccel.ts.
 */
import { ACPI_DATA } from '../src/tdx/tdx-event.ts';
import { ascii, ccelTable, EVENT_TYPE, type LoggedEvent, sha384, u16, u32, variableData } from './ccel-writer.ts';

/** One event; what is measured is the data itself unless something else is named. */
function event(register: 0 | 1 | 2, type: number, data: Uint8Array, measured: Uint8Array = data): LoggedEvent {
  return { register, type, digest: sha384(measured), data };
}

const variable = (name: string) => event(0, EVENT_TYPE.variableDriverConfig, variableData(name));
const acpiData = (table: string) =>
  event(0, EVENT_TYPE.platformConfigFlags, ascii(ACPI_DATA), ascii(`dstack-sim ${table}`));

/** The table of 65536 bytes. */
export function mockCcel(): Uint8Array {
  const separator = u32(0);
  return ccelTable([
    event(0, EVENT_TYPE.handoffTables2, ascii('dstack-sim TD HOB')),
    event(0, EVENT_TYPE.platformFirmwareBlob2, ascii('dstack-sim configuration firmware volume')),
    ...['SecureBoot', 'PK', 'KEK', 'db', 'dbx'].map(variable),
    event(0, EVENT_TYPE.separator, separator),
    ...ACPI_TABLES.map(acpiData),
    event(0, EVENT_TYPE.variableBoot, variableData('BootOrder', u16(0)), u16(0)),
    event(1, EVENT_TYPE.bootServicesApplication, ascii('dstack-sim kernel image')),
    event(1, EVENT_TYPE.action, ascii('Calling EFI Application from Boot Option')),
    event(1, EVENT_TYPE.separator, separator),
    event(2, EVENT_TYPE.eventTag, ascii('LOADED_IMAGE::LoadOptions\0'), ascii('dstack-sim kernel command line')),
    event(2, EVENT_TYPE.eventTag, ascii('Linux initrd\0'), ascii('dstack-sim initrd')),
    event(1, EVENT_TYPE.action, ascii('Exit Boot Services Invocation')),
    event(1, EVENT_TYPE.action, ascii('Exit Boot Services Returned with Success')),
  ]);
}

const ACPI_TABLES = ['table loader', 'RSDP', 'tables'] as const;

/** Digests of ACPI tables that nobody has: what a host would have made for its VM, 48 bytes each. */
export const MOCK_ACPI = {
  loader: sha384(ascii('dstack-sim table loader')),
  rsdp: sha384(ascii('dstack-sim RSDP')),
  tables: sha384(ascii('dstack-sim tables')),
} as const;
