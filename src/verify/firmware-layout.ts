/**
 * The order in which firmware measures, register by register: where a log leaves the predicted one, and what the event there
 * is known to be. Facts: TCG PC Client Platform Firmware Profile (event types); edk2 (OvmfPkg, TdTcg2Dxe, QemuFwCfgLib,
 * SmbiosMeasurementDxe), whose layout of RTMR0 grew from 13 to 17 events with edk2-stable202505.
 */

import { toHex } from '../codec/hex.ts';
import { latin1 } from '../codec/text.ts';
import type { TdxEvent } from '../tdx/tdx-event.ts';
import type { ExpectedSystemEvent } from './system-reference.ts';

/** Names of event types as the firmware profile has them. */
const TYPE_NAMES: Readonly<Record<number, string>> = {
  1: 'EV_POST_CODE',
  4: 'EV_SEPARATOR',
  5: 'EV_ACTION',
  6: 'EV_EVENT_TAG',
  10: 'EV_PLATFORM_CONFIG_FLAGS',
  11: 'EV_TABLE_OF_DEVICES',
  13: 'EV_IPL',
  2147483649: 'EV_EFI_VARIABLE_DRIVER_CONFIG',
  2147483650: 'EV_EFI_VARIABLE_BOOT',
  2147483651: 'EV_EFI_BOOT_SERVICES_APPLICATION',
  2147483652: 'EV_EFI_BOOT_SERVICES_DRIVER',
  2147483654: 'EV_EFI_GPT_EVENT',
  2147483655: 'EV_EFI_ACTION',
  2147483656: 'EV_EFI_PLATFORM_FIRMWARE_BLOB',
  2147483657: 'EV_EFI_HANDOFF_TABLES',
  2147483658: 'EV_EFI_PLATFORM_FIRMWARE_BLOB2',
  2147483659: 'EV_EFI_HANDOFF_TABLES2',
  2147483660: 'EV_EFI_VARIABLE_BOOT2',
  2147483872: 'EV_EFI_VARIABLE_AUTHORITY',
};

export const typeName = (type: number): string => TYPE_NAMES[type] ?? `type 0x${type.toString(16)}`;

/** Where a log leaves the prediction. */
export interface Departure {
  /** `differs`: another digest. `added`: the prediction has no such event. `missing`: the log ends or goes on without it. */
  readonly kind: 'differs' | 'added' | 'missing';
  /** from 1, among what the log measured into this register */
  readonly index: number;
  /** the predicted event there; absent for an event behind the last predicted one */
  readonly expected?: ExpectedSystemEvent;
  readonly found?: TdxEvent;
}

/**
 * The first event of one register that is not as predicted; undefined when all are. A digest that nobody can predict fits
 * any.
 * @param found what the log measured into this register, in order
 */
export function departure(expected: readonly ExpectedSystemEvent[], found: readonly TdxEvent[]): Departure | undefined {
  for (let at = 0; at < Math.max(expected.length, found.length); at++) {
    const [wanted, event] = [expected[at], found[at]];
    const index = at + 1;
    if (event === undefined) return { kind: 'missing', index, ...(wanted && { expected: wanted }) };
    if (wanted === undefined) return { kind: 'added', index, found: event };
    const typed = event.eventType === (wanted.eventType ?? event.eventType);
    // the digest alone is measured: the same one is the same event, whatever type stands beside it
    if (wanted.digest === undefined ? typed : toHex(wanted.digest) === toHex(event.digest)) continue;
    if (typed) return { kind: 'differs', index, expected: wanted, found: event };
    const comes = found.slice(at).some(({ eventType }) => eventType === wanted.eventType);
    return { kind: comes ? 'added' : 'missing', index, expected: wanted, found: event };
  }
  return undefined;
}

/** An event that firmware other than the predicted one is known to measure. */
export interface KnownAddition {
  readonly name: string;
  /** the firmware or the way of booting that does this */
  readonly because: string;
}

const NEWER = 'firmware since edk2-stable202505 measures it, and its digests are not known here';
const FROM_DISK = 'the VM booted from a disk, not the kernel that QEMU was given';
const FW_CFG = 'QEMU FW CFG';

/** What an added event is; undefined for one that is not known, which is then named by its type and nothing more. */
export function knownAddition(register: number, index: number, event: TdxEvent): KnownAddition | undefined {
  const { eventType } = event;
  const text = latin1(event.payload);
  if (register === 0) {
    if (eventType === 0xa && (text.startsWith(FW_CFG) || (text === '' && (index === 3 || index === 4)))) {
      const [, item] = text.split('\0');
      return { name: `QEMU's ${item || (index === 3 ? 'BootMenu' : 'bootorder')} setting`, because: NEWER };
    }
    if (eventType === 0x80000009) return { name: 'the SMBIOS tables', because: NEWER };
    if (eventType === 0x80000002) return { name: 'another boot option', because: NEWER };
    if (eventType === 0x800000e0) {
      return { name: 'a key of Secure Boot', because: 'Secure Boot let a signed program start' };
    }
    if (eventType === 4) {
      return { name: 'the separator of RTMR1', because: 'OVMF up to 2024.02 measures it into RTMR0' };
    }
  }
  if (register === 1 && (eventType === 0x80000006 || eventType === 0x80000003)) {
    return { name: eventType === 0x80000006 ? 'a partition table' : 'a boot loader', because: FROM_DISK };
  }
  if (register === 2 && eventType === 0xd) return { name: 'a step of a boot loader', because: FROM_DISK };
  return undefined;
}

/** Two of them the older layout has, too: BootOrder and Boot0000. */
const OLDER_OPTIONS = 2;

/** What a log of RTMR0 has that OVMF measures since edk2-stable202505, in words; empty for the older layout. */
export function newerEvents(found: readonly TdxEvent[]): string[] {
  let options = 0;
  return found.flatMap((event, at) => {
    if (event.eventType === 0x80000002 && ++options <= OLDER_OPTIONS) return [];
    const known = knownAddition(0, at + 1, event);
    return known?.because === NEWER ? [`event ${at + 1} is ${known.name}`] : [];
  });
}
