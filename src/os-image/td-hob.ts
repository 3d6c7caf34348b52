/**
 * The TD HOB: the list in which QEMU tells the firmware where memory is (UEFI PI specification, volume 3, hand-off block
 * lists; os-image, section 5). The firmware measures it first.
 */
import { concat } from '../codec/bytes.ts';
import { type MemoryLayout, PAGE_SIZE } from './memory-layout.ts';
import { unsupported } from './shape.ts';

const GIB = 1024 ** 3;
/** QEMU's q35 machine: with this much memory and more, 2 GiB of it stay below 4 GiB, otherwise all of it. */
export const LOW_MEMORY_SPLIT = 0xb000_0000;
export const LOW_MEMORY = 2 * GIB;
const HIGH_MEMORY_START = 4 * GIB;
const HANDOFF_SIZE = 56;
const RESOURCE_SIZE = 48;
/** The entry that ends the list. */
const END_SIZE = 8;
const SYSTEM_MEMORY = 0;
const UNACCEPTED_MEMORY = 7;
/** present, initialized, tested */
const ATTRIBUTES = 7;

/**
 * The bytes of the list for a memory size in bytes.
 * @throws VM_SHAPE_UNSUPPORTED when the firmware's own memory does not lie within the guest's
 */
export function buildTdHob(layout: MemoryLayout, memorySize: number): Uint8Array {
  const resources = resourcesOf(layout, memorySize).map(({ type, start, end }) => resource(type, start, end - start));
  const size = HANDOFF_SIZE + RESOURCE_SIZE * resources.length;
  return concat(handoff(layout.tdHob * PAGE_SIZE + size + END_SIZE), ...resources);
}

interface Range {
  readonly type: typeof SYSTEM_MEMORY | typeof UNACCEPTED_MEMORY;
  readonly start: number;
  readonly end: number;
}

/** Unaccepted memory with the firmware's ranges cut out of it; only the last range reaches beyond the hole below 4 GiB. */
function resourcesOf({ ranges }: MemoryLayout, memorySize: number): Range[] {
  const last = ranges.at(-1);
  const owned = last === undefined ? 0 : (last.start + last.count) * PAGE_SIZE;
  if (memorySize % PAGE_SIZE !== 0) throw unsupported('memory_size', memorySize, 'is not a multiple of 4096');
  const low = memorySize >= LOW_MEMORY_SPLIT ? LOW_MEMORY : memorySize;
  if (owned >= low)
    throw unsupported('memory_size', memorySize, `leaves nothing above the firmware’s memory (${owned})`);
  const out: Range[] = [];
  let at = 0;
  for (const { start, count } of ranges) {
    const [from, to] = [start * PAGE_SIZE, (start + count) * PAGE_SIZE];
    if (from > at) out.push({ type: UNACCEPTED_MEMORY, start: at, end: from });
    out.push({ type: SYSTEM_MEMORY, start: from, end: to });
    at = to;
  }
  out.push({ type: UNACCEPTED_MEMORY, start: at, end: low });
  if (memorySize > low) {
    out.push({ type: UNACCEPTED_MEMORY, start: HIGH_MEMORY_START, end: HIGH_MEMORY_START + memorySize - low });
  }
  return out;
}

/** EFI_HOB_HANDOFF_INFO_TABLE: version 9, the memory fields left zero, the address behind the list. */
function handoff(endOfList: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(HANDOFF_SIZE));
  view.setUint16(0, 1, true);
  view.setUint16(2, HANDOFF_SIZE, true);
  view.setUint32(8, 9, true);
  view.setBigUint64(48, BigInt(endOfList), true);
  return new Uint8Array(view.buffer);
}

/** EFI_HOB_RESOURCE_DESCRIPTOR without an owner. */
function resource(type: number, start: number, length: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(RESOURCE_SIZE));
  view.setUint16(0, 3, true);
  view.setUint16(2, RESOURCE_SIZE, true);
  view.setUint32(24, type, true);
  view.setUint32(28, ATTRIBUTES, true);
  view.setBigUint64(32, BigInt(start), true);
  view.setBigUint64(40, BigInt(length), true);
  return new Uint8Array(view.buffer);
}
