/** Kernels: QEMU's changes to the setup header, and the sections of the PE file. The first two bytes choose the initrd's size. */
import { DstackError } from '../../../src/errors.ts';
import { patchKernel } from '../../../src/os-image/kernel-patch.ts';
import { authenticode, parsePe } from '../../../src/os-image/pe.ts';
import { type FuzzTarget, same } from '../target.ts';

const fail = (why: string) => new DstackError('KERNEL_INVALID', `kernel: ${why}`);
const MEMORY = 0xb000_0000;

const target: FuzzTarget = {
  limit: 65_536,
  dictionary: [
    'MZ',
    'PE\0\0',
    'HdrS',
    Uint8Array.of(0x0b, 0x02),
    Uint8Array.of(0x0b, 0x01),
    Uint8Array.of(0x0f, 0x02),
    Uint8Array.of(0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(0, 0x10, 0, 0),
    Uint8Array.of(0, 0, 0, 0),
  ],
  run(input) {
    const size = ((input[0] ?? 0) | ((input[1] ?? 0) << 8)) * 4096;
    const kernel = input.subarray(2);
    const patched = patchKernel(kernel, size, MEMORY);
    same('the length', patched.length, kernel.length);
    same('what stands behind the setup header', patched.subarray(0x230), kernel.subarray(0x230));
    const { sections, headersSize } = parsePe(patched, fail);
    const { digest } = authenticode(patched, fail);
    same('the digest', digest.length, 48);
    const counted = sections.reduce((sum, { data }) => sum + data.length, headersSize);
    if (counted > kernel.length) throw new Error('more is hashed than the file has');
  },
};
export default target;
