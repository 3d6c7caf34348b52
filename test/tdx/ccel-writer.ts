/** Writes boot event logs as firmware does (TCG PC Client Platform Firmware Profile, crypto-agile log; edk2 TdTcg2Dxe). */
import { createHash } from 'node:crypto';
import { concat } from '../../src/codec/bytes.ts';

const SHA384 = 0x000c;

const u16 = (value: number): Uint8Array => Uint8Array.of(value & 0xff, value >> 8);
export const u32 = (value: number): Uint8Array => {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value, true);
  return out;
};
export const ascii = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));
const sha384 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash('sha384').update(bytes).digest());

export interface LogEntry {
  /** one-based, as in the table: 1 is RTMR0 */
  readonly register: number;
  readonly type: number;
  readonly data: Uint8Array;
  /** 48 bytes; default the SHA-384 of the data */
  readonly digest?: Uint8Array;
}

/** An entry that informs and is never measured; its digest is zeros. */
export const noAction = (register: number, data: Uint8Array | string): LogEntry => ({
  register,
  type: 3,
  data: typeof data === 'string' ? ascii(data) : data,
  digest: new Uint8Array(48),
});

/** The body of an SP800-155 event, version 3: where a reference manifest of the firmware is found. */
export const referenceManifest = (locator: string): Uint8Array =>
  concat(ascii('SP800-155 Event3'), u32(0x2b79), new Uint8Array(16).fill(0x42), ascii(locator));

export const entryBytes = ({ register, type, data, digest }: LogEntry): Uint8Array =>
  concat(u32(register), u32(type), u32(1), u16(SHA384), digest ?? sha384(data), u32(data.length), data);

/** Spec ID event: the one entry of the old format. OVMF gives it register index 1. */
export function headerBytes(register = 1): Uint8Array {
  const data = concat(
    ascii('Spec ID Event03\0'),
    u32(0),
    Uint8Array.of(0, 2, 0, 2),
    u32(1),
    u16(SHA384),
    u16(48),
    Uint8Array.of(0),
  );
  return concat(u32(register), u32(3), new Uint8Array(20), u32(data.length), data);
}

/** The log area. @param size in bytes; what is left of it is 0xFF, without it the log fills the area */
export function logArea(entries: readonly LogEntry[], size?: number): Uint8Array {
  const log = concat(headerBytes(), ...entries.map(entryBytes));
  const area = new Uint8Array(size ?? log.length + 4).fill(0xff);
  area.set(log);
  return area;
}
