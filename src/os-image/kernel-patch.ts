/** The setup header of a kernel as QEMU hands it to the firmware (Linux x86 boot protocol; os-image, section 4). */
import { DstackError } from '../errors.ts';
import { unsupported } from './shape.ts';
import { LOW_MEMORY, LOW_MEMORY_SPLIT } from './td-hob.ts';

/** Largest kernel in bytes. */
export const KERNEL_LIMIT = 64 * 1024 * 1024;
const MIN_KERNEL = 0x1000;
/** What QEMU keeps free for ACPI tables at the end of low memory. */
const ACPI_DATA_SIZE = 0x28000;
/** Highest initrd address of kernels that state none. */
const INITRD_LIMIT = 0x37ff_ffff;
const U32_MAX = 0xffff_ffff;

const invalid = (why: string): DstackError => new DstackError('KERNEL_INVALID', `kernel: ${why}`);

/**
 * A copy with QEMU's changes.
 * @param initrdSize bytes; 0 means that no initrd is loaded
 * @param memorySize bytes
 * @throws KERNEL_INVALID, VM_SHAPE_UNSUPPORTED when QEMU could not load the initrd
 */
export function patchKernel(kernel: Uint8Array, initrdSize: number, memorySize: number): Uint8Array {
  if (kernel.length > KERNEL_LIMIT) throw invalid(`it has ${kernel.length} bytes, more than ${KERNEL_LIMIT}`);
  if (kernel.length < MIN_KERNEL) throw invalid(`it has ${kernel.length} bytes, less than ${MIN_KERNEL}`);
  const out = new Uint8Array(kernel);
  const view = new DataView(out.buffer);
  const protocol = view.getUint16(0x206, true);
  const low = protocol < 0x200 || (view.getUint8(0x211) & 1) === 0;
  const real = low ? 0x90000 : 0x10000;
  const cmdline = low ? 0x9a000 : 0x20000;
  if (protocol >= 0x200) view.setUint8(0x210, 0xb0);
  if (protocol >= 0x201) {
    view.setUint8(0x211, view.getUint8(0x211) | 0x80);
    view.setUint32(0x224, cmdline - real - 0x200, true);
  }
  if (protocol >= 0x202) view.setUint32(0x228, cmdline, true);
  else {
    view.setUint16(0x20, 0xa33f, true);
    view.setUint16(0x22, cmdline - real, true);
  }
  if (initrdSize > 0) {
    view.setUint32(0x218, initrdAddress(view, protocol, initrdSize, memorySize), true);
    view.setUint32(0x21c, initrdSize, true);
  }
  return out;
}

function initrdAddress(view: DataView, protocol: number, size: number, memorySize: number): number {
  if (protocol < 0x200) throw invalid('its boot protocol is older than 2.00: it takes no initrd');
  const below4G = memorySize < LOW_MEMORY_SPLIT ? memorySize : LOW_MEMORY;
  if (below4G <= ACPI_DATA_SIZE) throw unsupported('memory_size', memorySize, 'has no place for an initrd');
  const limit = Math.min(kernelLimit(view, protocol), below4G - ACPI_DATA_SIZE - 1);
  if (size >= limit) throw unsupported('memory_size', memorySize, `has no place for an initrd of ${size} bytes`);
  const address = limit - size;
  return address - (address % 4096);
}

/** The highest address at which the kernel takes an initrd. */
function kernelLimit(view: DataView, protocol: number): number {
  if (protocol >= 0x20c) return (view.getUint16(0x236, true) & 0x40) === 0 ? INITRD_LIMIT : U32_MAX;
  if (protocol < 0x203) return INITRD_LIMIT;
  return view.getUint32(0x22c, true) || INITRD_LIMIT;
}
