/** The boot event log of a machine that has started a known image: every event as it was predicted. */
import type { SystemEvent, SystemPrediction } from '../src/os-image/os-image.ts';
import { ACPI_DATA } from '../src/tdx/tdx-event.ts';
import { ascii, ccelTable, type LoggedEvent, u16, u32, variableData } from './ccel-writer.ts';

/** What stands beside the digest in the log. Where firmware writes addresses of its memory, this says what is there. */
const DATA: Readonly<Record<SystemEvent['name'], Uint8Array>> = {
  'td-hob': ascii('td_hob\0'),
  'configuration-volume': ascii('configuration firmware volume'),
  SecureBoot: variableData('SecureBoot'),
  PK: variableData('PK'),
  KEK: variableData('KEK'),
  db: variableData('db'),
  dbx: variableData('dbx'),
  separator: u32(0),
  'acpi-loader': ascii(ACPI_DATA),
  'acpi-rsdp': ascii(ACPI_DATA),
  'acpi-tables': ascii(ACPI_DATA),
  BootOrder: variableData('BootOrder', u16(0)),
  Boot0000: variableData('Boot0000'),
  kernel: ascii('kernel image'),
  'calling-boot-option': ascii('Calling EFI Application from Boot Option'),
  'exit-boot-services': ascii('Exit Boot Services Invocation'),
  'exit-boot-services-success': ascii('Exit Boot Services Returned with Success'),
  'command-line': ascii('LOADED_IMAGE::LoadOptions\0'),
  initrd: ascii('Linux initrd\0'),
};

/**
 * The table of 65536 bytes, register by register: their order among each other is not measured.
 * @throws Error for a prediction with an event that is not known
 */
export function systemCcel({ rtmrs, unknown }: SystemPrediction): Uint8Array {
  const logged = ({ register, name, eventType, digest }: SystemEvent): LoggedEvent => {
    const why = unknown.find(({ event }) => event === name)?.why;
    if (digest === undefined) throw new Error(`the measurement of ${name} is not known: ${why}`);
    return { register, type: eventType, digest, data: DATA[name] };
  };
  return ccelTable(rtmrs.flatMap(({ events }) => events.map(logged)));
}
