/**
 * The memory that a firmware already owns when it starts: its hand-off block and its temporary memory. The witness is the
 * short form of it in a measurement document (os-image, section 6).
 */
import type { DstackError } from '../errors.ts';

export const PAGE_SIZE = 4096;
/** Page numbers stay below this, so that addresses are exact in a double. */
const PAGE_LIMIT = 2 ** 40;
/** More ranges than any firmware has. */
const RANGE_LIMIT = 256;

/** In pages of 4 KiB. */
export interface PageRange {
  readonly start: number;
  readonly count: number;
}

export interface MemoryLayout {
  /** page of the hand-off block list (TD_HOB) */
  readonly tdHob: number;
  /** TD_HOB and TEMP_MEM by address: not empty, not overlapping, not merged */
  readonly ranges: readonly PageRange[];
}

/** Sorts and checks. @param fail makes the error of a reason */
export function memoryLayout(
  tdHob: number,
  ranges: readonly PageRange[],
  fail: (why: string) => DstackError,
): MemoryLayout {
  const sorted = ranges.toSorted((a, b) => a.start - b.start);
  if (sorted.length === 0 || sorted.length > RANGE_LIMIT) throw fail(`has ${sorted.length} memory ranges`);
  let end = 0;
  for (const { start, count } of sorted) {
    if (count < 1) throw fail('has an empty memory range');
    if (start < end) throw fail('has memory ranges that overlap');
    end = start + count;
    if (end > PAGE_LIMIT) throw fail('has a memory range beyond 2^52');
  }
  if (!sorted.some(({ start }) => start === tdHob)) throw fail('has no memory range at its hand-off block');
  return { tdHob, ranges: sorted };
}

/** Unsigned LEB128: lowest page, page of the hand-off block relative to it, number of ranges, then start and length of each. */
export function writeWitness({ tdHob, ranges }: MemoryLayout): Uint8Array {
  const base = ranges[0]?.start ?? 0;
  const numbers = [base, tdHob - base, ranges.length, ...ranges.flatMap(({ start, count }) => [start - base, count])];
  return Uint8Array.from(numbers.flatMap(leb128));
}

function leb128(value: number): number[] {
  const out: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    const low = rest % 128;
    if (rest < 128) return [...out, low];
    out.push(low | 0x80);
  }
}

/** Reads what `writeWitness` wrote, and nothing else. @param fail makes the error of a reason */
export function readWitness(bytes: Uint8Array, fail: (why: string) => DstackError): MemoryLayout {
  let at = 0;
  const number = (): number => {
    let value = 0;
    for (let factor = 1; factor < PAGE_LIMIT; factor *= 128) {
      const byte = bytes[at];
      if (byte === undefined) throw fail('ends within a number');
      at++;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) {
        if (byte === 0 && factor > 1) throw fail('has a number that is not in its shortest form');
        return value;
      }
    }
    throw fail('has a number that is too large');
  };
  const base = number();
  const tdHob = base + number();
  const count = number();
  if (count > RANGE_LIMIT) throw fail(`has ${count} memory ranges`);
  const ranges = Array.from({ length: count }, () => ({ start: base + number(), count: number() }));
  if (at !== bytes.length) throw fail(`has ${bytes.length - at} bytes behind its ranges`);
  const layout = memoryLayout(tdHob, ranges, fail);
  if (layout.ranges[0]?.start !== base || layout.ranges.some((range, index) => range.start !== ranges[index]?.start)) {
    throw fail('does not name its ranges by address, from the lowest');
  }
  return layout;
}
