/** The kernel: QEMU's changes to its setup header, and the digest that the firmware measures. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat } from '../../src/codec/bytes.ts';
import { toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import { KERNEL_LIMIT, patchKernel } from '../../src/os-image/kernel-patch.ts';
import { authenticode, parsePe } from '../../src/os-image/pe.ts';
import { failure } from '../failure.ts';
import { kernelA, kernelB } from './sample.ts';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const INITRD = 10 * MIB;

/** The setup header of one boot protocol. */
function header(protocol: number, fields: { loadflags?: number; xloadflags?: number; initrdMax?: number } = {}) {
  const kernel = new Uint8Array(0x1000);
  const view = new DataView(kernel.buffer);
  view.setUint16(0x206, protocol, true);
  kernel[0x211] = fields.loadflags ?? 1;
  view.setUint16(0x236, fields.xloadflags ?? 0, true);
  view.setUint32(0x22c, fields.initrdMax ?? 0, true);
  return kernel;
}

/** Which bytes QEMU changes, as offset: hex of each run. */
function changes(before: Uint8Array, after: Uint8Array): Record<string, string> {
  const out: Record<string, string> = {};
  for (let at = 0; at < before.length; at++) {
    if (before[at] === after[at]) continue;
    let end = at + 1;
    while (end < before.length && before[end] !== after[end]) end++;
    out[at.toString(16)] = toHex(after.subarray(at, end));
    at = end;
  }
  return out;
}

const u32 = (bytes: Uint8Array, at: number) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
const initrdAt = (kernel: Uint8Array, memory: number, size = INITRD) => u32(patchKernel(kernel, size, memory), 0x218);
/** What the boot protocol and QEMU leave: below a limit, on a page. */
const below = (limit: number, size = INITRD) => Math.floor((limit - size) / 4096) * 4096;

describe('QEMU’s changes', () => {
  it.each([
    ['older than 2.00', header(0x105), { '20': '3fa3', '23': 'a0' }],
    ['2.00, loaded low', header(0x200, { loadflags: 0 }), { '20': '3fa3', '23': 'a0', '210': 'b0' }],
    ['2.00, loaded high', header(0x200), { '20': '3fa3', '210': 'b0' }],
    ['2.01', header(0x201), { '20': '3fa3', '210': 'b081', '225': 'fe' }],
    ['2.02', header(0x202), { '210': 'b081', '225': 'fe', '22a': '02' }],
    ['2.02, loaded low', header(0x202, { loadflags: 0 }), { '210': 'b080', '225': '9e', '229': 'a009' }],
  ])('protocol %s', (_, kernel, expected) => {
    expect(changes(kernel, patchKernel(kernel, 0, 2 * GIB))).toEqual(expected);
  });

  it('the whole heap pointer is written, not its low half', () => {
    const kernel = header(0x20f);
    kernel.fill(0xff, 0x224, 0x228);
    expect(toHex(patchKernel(kernel, 0, 2 * GIB).subarray(0x224, 0x228))).toBe('00fe0000');
  });

  const any = header(0x20c, { xloadflags: 0x40 });
  it.each([
    ['with 1 GiB', any, GIB, GIB - 0x28001],
    ['with exactly 2 GiB', any, 2 * GIB, 2 * GIB - 0x28001],
    ['with a page less than the split', any, 0xb000_0000 - 4096, 0xb000_0000 - 4096 - 0x28001],
    ['at the split', any, 0xb000_0000, 2 * GIB - 0x28001],
    ['with 64 GiB', any, 64 * GIB, 2 * GIB - 0x28001],
    ['of a kernel that cannot be loaded high', header(0x20c), 64 * GIB, 0x37ff_ffff],
    ['of a kernel that states a limit', header(0x203, { initrdMax: 0x0fff_ffff }), 64 * GIB, 0x0fff_ffff],
    ['of a kernel that states none', header(0x20b), 64 * GIB, 0x37ff_ffff],
    ['of an old kernel', header(0x202), 64 * GIB, 0x37ff_ffff],
    ['of an old kernel in little memory', header(0x202), 256 * MIB, 256 * MIB - 0x28001],
  ])('the initrd lies below its limit %s', (_, kernel, memory, limit) => {
    expect(initrdAt(kernel, memory)).toBe(below(limit));
    expect(u32(patchKernel(kernel, INITRD, memory), 0x21c)).toBe(INITRD);
  });

  it.each([
    ['a kernel too old for an initrd', header(0x105), INITRD, GIB, 'KERNEL_INVALID'],
    ['an initrd larger than memory', any, GIB, GIB, 'VM_SHAPE_UNSUPPORTED'],
    ['an initrd of 4 GiB', any, 4 * GIB, 64 * GIB, 'VM_SHAPE_UNSUPPORTED'],
    ['memory without room for ACPI', any, INITRD, 0x28000, 'VM_SHAPE_UNSUPPORTED'],
    ['no memory', any, INITRD, 0, 'VM_SHAPE_UNSUPPORTED'],
    ['less than a header', new Uint8Array(0xfff), 0, GIB, 'KERNEL_INVALID'],
    ['more than the limit', new Uint8Array(KERNEL_LIMIT + 1), 0, GIB, 'KERNEL_INVALID'],
  ])('%s is refused', (_, kernel, size, memory, code) => {
    expect(failure(() => patchKernel(kernel, size, memory)).code).toBe(code);
  });
});

const fail = (why: string) => new DstackError('KERNEL_INVALID', `kernel: ${why}`);
/** Offsets in kernel-a and kernel-b. */
const pe = (file: Uint8Array) => u32(file, 0x3c);
const optional = (file: Uint8Array) => pe(file) + 24;
const patched = (file: Uint8Array, at: number, value: number): Uint8Array => {
  const out = new Uint8Array(file);
  new DataView(out.buffer).setUint32(at, value, true);
  return out;
};
const table = (file: Uint8Array) => optional(file) + new DataView(file.buffer).getUint16(pe(file) + 20, true);

describe('Authenticode', () => {
  it('leaves out the checksum and the entry of the certificates, and nothing else of the headers', () => {
    const file = kernelA();
    const { checksumAt, certificateEntryAt, headersSize } = parsePe(file, fail);
    const before = toHex(authenticode(file, fail).digest);
    const same = [...Array(headersSize).keys()].filter((at) => {
      const copy = new Uint8Array(file);
      copy[at] = (copy[at] ?? 0) ^ 0x80;
      try {
        return toHex(authenticode(copy, fail).digest) === before;
      } catch {
        return false;
      }
    });
    const left = (at: number, size: number) => Array.from({ length: size }, (_, i) => at + i);
    expect(same.filter((at) => at < certificateEntryAt)).toEqual(left(checksumAt, 4));
    // with an address and a size there are certificates: one changed byte of the entry makes none
    expect(same.filter((at) => at >= certificateEntryAt)).toEqual(left(certificateEntryAt, 8));
  });

  it('takes the sections in the order of the file, whatever the order of the table', () => {
    const file = kernelA();
    const at = table(file);
    const [first, second] = [file.slice(at, at + 40), file.slice(at + 40, at + 80)];
    const swapped = new Uint8Array(file);
    swapped.set(concat(second, first), at);
    const { headersSize, checksumAt, certificateEntryAt, sections } = parsePe(swapped, fail);
    const data = sections.toSorted((a, b) => a.offset - b.offset).map((section) => section.data);
    const expected = createHash('sha384')
      .update(swapped.subarray(0, checksumAt))
      .update(swapped.subarray(checksumAt + 4, certificateEntryAt))
      .update(swapped.subarray(certificateEntryAt + 8, headersSize))
      .update(concat(...data))
      .update(new Uint8Array((8 - (swapped.length % 8)) % 8))
      .digest('hex');
    expect(toHex(authenticode(swapped, fail).digest)).toBe(expected);
  });

  it('says when firmware may read a file in another way', () => {
    expect(authenticode(kernelA(), fail).doubt).toBeUndefined();
    expect(authenticode(kernelB(), fail).doubt).toContain('bytes behind the sections');
  });

  const a = kernelA();
  const first = table(a);
  it.each([
    ['no MZ', patched(a, 0, 0)],
    ['no PE signature', patched(a, pe(a), 0)],
    ['a PE header behind the end', patched(a, 0x3c, 0xffff_fff0)],
    ['an unknown optional header', patched(a, optional(a), 0x107)],
    ['65535 sections', patched(a, pe(a) + 4, 0xffff_8664)],
    ['no directories', patched(a, optional(a) + 108, 0)],
    ['headers longer than the file', patched(a, optional(a) + 60, 0x7fff_ffff)],
    ['headers of no byte', patched(a, optional(a) + 60, 0)],
    ['a section behind the end', patched(a, first + 20, 0xffff_f000)],
    ['a section of 4 GiB', patched(a, first + 16, 0xffff_ffff)],
    ['a section within the headers', patched(a, first + 20, 16)],
    ['nothing', new Uint8Array()],
  ])('%s is refused', (_, file) => {
    const thrown = failure(() => authenticode(file, fail));
    expect(thrown.code).toBe('KERNEL_INVALID');
  });

  it('sections that overlap are refused: many would take for ever', () => {
    const at = table(a);
    const overlapping = patched(a, at + 40 + 20, u32(a, at + 20));
    expect(failure(() => authenticode(overlapping, fail)).message).toContain('overlaps');
  });

  it('any byte of the headers may be anything', () => {
    const limit = parsePe(a, fail).headersSize;
    fc.assert(
      fc.property(fc.nat(limit - 1), fc.nat(255), (at, value) => {
        const file = new Uint8Array(a);
        file[at] = value;
        try {
          expect(authenticode(file, fail).digest).toHaveLength(48);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
    );
  });
});
