/**
 * CCEL: the boot event log of the firmware, in the TCG crypto-agile format (TCG PC Client Platform Firmware Profile;
 * UEFI confidential computing measurements; dstack measurement, CCEL).
 */
import { cut } from '../codec/bytes.ts';
import { LastBytes } from '../codec/per-object.ts';
import { DstackError } from '../errors.ts';
import { readLimited } from '../sys/files.ts';
import { EV_NO_ACTION, isAcpiData, NO_REGISTER, type TdxEvent } from './tdx-event.ts';
import { pathOf, type TdxMachine } from './tdx-machine.ts';

export const CCEL_PATH = '/sys/firmware/acpi/tables/data/CCEL';
export const ENV_CCEL = 'DSTACK_CCEL_FILE';
const FILE_LIMIT = 4 * 1024 * 1024;
/** Longest length-prefixed vector. */
const VECTOR_LIMIT = 65_536;
/** Firmware fills the log area with it before it writes the first entry. */
const PADDING = 0xffffffff;
/** TPM_ALG_ID to digest size. */
const DIGEST_SIZE: Readonly<Record<number, number>> = { 4: 20, 11: 32, 12: 48, 13: 64 };
const ACPI_NAMES = ['acpi-loader', 'acpi-rsdp', 'acpi-tables'] as const;

/** Reads and parses the log of this boot. @throws CCEL_UNAVAILABLE, CCEL_INVALID */
export async function readCcel(machine: TdxMachine): Promise<readonly TdxEvent[]> {
  const override = process.env[ENV_CCEL];
  if (override !== undefined && !override.startsWith('/')) {
    throw new DstackError('CCEL_UNAVAILABLE', `${ENV_CCEL} is not an absolute path`, {
      field: ENV_CCEL,
      value: override,
    });
  }
  const path = override ?? pathOf(machine, CCEL_PATH);
  let bytes: Uint8Array;
  try {
    bytes = await readLimited(path, FILE_LIMIT);
  } catch (thrown) {
    throw new DstackError('CCEL_UNAVAILABLE', `cannot read the boot event log ${path}`, { path, cause: thrown });
  }
  return parsed.of(bytes, parseCcel);
}

/** the firmware writes the table once, and everybody who takes evidence reads it */
const parsed = new LastBytes<readonly TdxEvent[]>();

/** A little-endian cursor that refuses to leave the table. */
class Cursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  fail(why: string): DstackError {
    return new DstackError('CCEL_INVALID', `boot event log: ${why} at offset ${this.at}`, {
      field: 'offset',
      value: this.at,
    });
  }

  #take(size: number, what: string): number {
    if (size > this.#bytes.length - this.at) throw this.fail(`${what} runs past the end`);
    const at = this.at;
    this.at += size;
    return at;
  }

  u8(what: string): number {
    return this.#view.getUint8(this.#take(1, what));
  }
  u16(what: string): number {
    return this.#view.getUint16(this.#take(2, what), true);
  }
  u32(what: string): number {
    return this.#view.getUint32(this.#take(4, what), true);
  }
  /** The next four bytes without taking them; undefined when there are fewer. */
  peek(): number | undefined {
    return this.at + 4 > this.#bytes.length ? undefined : this.#view.getUint32(this.at, true);
  }
  bytes(size: number, what: string): Uint8Array {
    const at = this.#take(size, what);
    return cut(this.#bytes, at, at + size);
  }
  vector(what: string): Uint8Array {
    const length = this.u32(`length of ${what}`);
    if (length > VECTOR_LIMIT) throw this.fail(`${what} has ${length} bytes, more than ${VECTOR_LIMIT}`);
    return this.bytes(length, what);
  }
}

/**
 * Parses the table up to the padding behind its last entry. Register indices are one-based there: entries of index 0 (MRTD,
 * which firmware cannot extend; Google's has its reference manifests there) are dropped. EV_NO_ACTION entries of the others
 * and of index 0xffffffff (no register) stay in the log, and nobody replays them.
 * @returns events with zero-based registers, or NO_REGISTER, and one 48-byte digest each
 * @throws CCEL_INVALID
 */
export function parseCcel(table: Uint8Array): TdxEvent[] {
  const cursor = new Cursor(table);
  header(cursor);
  const events: TdxEvent[] = [];
  for (;;) {
    const register = cursor.u32('register index');
    if (register === PADDING && isPadding(cursor)) return labelled(events);
    const event = body(cursor, register);
    if (event !== undefined) events.push(event);
  }
}

/** Padding follows itself, or the area is full to the last word; an entry has its type there. */
function isPadding(cursor: Cursor): boolean {
  const next = cursor.peek();
  return next === undefined || next === PADDING;
}

/** The header is an event of the old SHA-1 format whose data names the algorithms; only its structure is checked. */
function header(cursor: Cursor): void {
  cursor.u32('header index');
  cursor.u32('header type');
  cursor.bytes(20, 'header digest');
  const start = cursor.at + 4;
  const data = new Cursor(cursor.vector('header data'));
  try {
    data.bytes(16, 'signature');
    data.u32('platform class');
    data.bytes(4, 'specification version');
    const algorithms = data.u32('number of algorithms');
    if (algorithms > VECTOR_LIMIT / 4) throw data.fail(`${algorithms} algorithms`);
    data.bytes(4 * algorithms, 'algorithm list');
    data.bytes(data.u8('vendor length'), 'vendor data');
  } catch (thrown) {
    throw new DstackError('CCEL_INVALID', `boot event log: header data at offset ${start} is damaged`, {
      cause: thrown,
    });
  }
}

function body(cursor: Cursor, register: number): TdxEvent | undefined {
  const eventType = cursor.u32('event type');
  const count = cursor.u32('digest count');
  let digest: Uint8Array | undefined;
  // every digest takes at least 22 bytes, so a huge count ends at the end of the table
  for (let index = 0; index < count; index++) {
    const algorithm = cursor.u16('digest algorithm');
    const size = DIGEST_SIZE[algorithm];
    if (size === undefined) throw cursor.fail(`unknown digest algorithm 0x${algorithm.toString(16)}`);
    digest = cursor.bytes(size, 'digest');
  }
  const payload = cursor.vector('event data');
  if (register === 0) return undefined;
  const informs = register === NO_REGISTER && eventType === EV_NO_ACTION;
  if (register > 4 && !informs) throw cursor.fail(`register ${register} does not exist`);
  if (count !== 1 || digest === undefined) throw cursor.fail(`event has ${count} digests, not one`);
  if (digest.length !== 48) throw cursor.fail(`digest has ${digest.length} bytes, not 48`);
  return { imr: informs ? NO_REGISTER : register - 1, eventType, digest, event: '', payload, version: 1 };
}

/** QEMU measures its three ACPI tables in a fixed order under one payload text: give them their names. */
function labelled(events: TdxEvent[]): TdxEvent[] {
  let next = 0;
  return events.map((event) => {
    const name = next < ACPI_NAMES.length && isAcpiData(event) ? ACPI_NAMES[next++] : undefined;
    return name === undefined ? event : { ...event, event: name };
  });
}
