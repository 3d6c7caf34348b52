import { describe, expect, it } from 'vitest';
import { MOCK_ACPI } from '../../simulator/mock-ccel.ts';
import { initialRegisters } from '../../simulator/quoting-enclave.ts';
import { claimOf, formatClaim, parseClaim, readClaim, type ShareReader } from '../../simulator/system-claim.ts';
import { DstackError } from '../../src/errors.ts';
import { type ImageParts, predictFromImage } from '../../src/os-image/os-image.ts';
import { parseCcel } from '../../src/tdx/ccel.ts';
import { isAcpiData } from '../../src/tdx/tdx-event.ts';
import { failure } from '../failure.ts';
import { changed, PARTS, SHAPE } from './system-sample.ts';

/** MRTD, RTMR0, RTMR1, RTMR2, RTMR3 as the device shows them. */
function registers(parts: ImageParts): string[] {
  const { mrtd, ccel } = claimOf(parts, SHAPE);
  return Buffer.from(initialRegisters(ccel, mrtd)).toString('hex').match(/.{96}/g) ?? [];
}

describe('the simulated device', () => {
  it('shows the registers that are predicted for the image, with a log that replays to them', () => {
    const predicted = predictFromImage(PARTS, SHAPE, MOCK_ACPI);
    const values = [predicted.mrtd.value, ...predicted.rtmrs.map(({ value }) => value!), new Uint8Array(48)];
    expect(registers(PARTS)).toEqual(values.map((value) => Buffer.from(value).toString('hex')));
  });

  it('has a log of as many events as firmware writes, in its three registers, with the ACPI tables named', () => {
    const events = parseCcel(claimOf(PARTS, SHAPE).ccel);
    expect([0, 1, 2].map((imr) => events.filter((event) => event.imr === imr).length)).toEqual([13, 5, 2]);
    expect(events.filter(isAcpiData).map(({ digest }) => digest)).toEqual(Object.values(MOCK_ACPI));
  });

  it.each([
    ['kernel', [2]],
    ['initrd', [3]],
    ['cmdline', [3]],
    ['firmware', [0]],
  ] as const)('shows one flipped byte of the %s in its own register and in no other', (part, differing) => {
    const [before, after] = [registers(PARTS), registers(changed(part))];
    expect(before.flatMap((value, index) => (value === after[index] ? [] : [index]))).toEqual(differing);
  });

  it('shows another memory size in RTMR0', () => {
    const [before, after] = [SHAPE, { ...SHAPE, memorySize: 2 ** 32 }].map((shape) => claimOf(PARTS, shape));
    expect(after?.mrtd).toEqual(before?.mrtd);
    expect(Buffer.compare(after!.ccel, before!.ccel)).not.toBe(0);
  });
});

describe('the claim on the share', () => {
  const text = Buffer.from(formatClaim(claimOf(PARTS, SHAPE)));

  /** A share that appears at the given attempt. */
  function share(appearsAt: number, content: Uint8Array | undefined): ShareReader & { readonly calls: string[] } {
    const calls: string[] = [];
    return {
      calls,
      mount: async () => {
        calls.push('mount');
        if (calls.filter((call) => call === 'mount').length < appearsAt)
          throw new DstackError('HOST_SHARE_MISSING', 'host share not found');
      },
      read: async () => content,
      unmount: async () => void calls.push('unmount'),
      pause: async () => void calls.push('pause'),
    };
  }

  it('is what was written there', async () => {
    const disk = share(1, text);
    expect(formatClaim((await readClaim(disk))!)).toBe(String(text));
    expect(disk.calls).toEqual(['mount', 'unmount']);
  });

  it('is waited for while disks appear, but not for ever', async () => {
    expect(await readClaim(share(3, text))).toBeDefined();
    const never = share(Number.POSITIVE_INFINITY, text);
    expect(await readClaim(never)).toBeUndefined();
    expect(never.calls).not.toContain('unmount');
  });

  it('may be missing on a share', async () => {
    expect(await readClaim(share(1, undefined))).toBeUndefined();
  });

  it('is refused when it is damaged, and the share does not stay mounted', async () => {
    const disk = share(1, Buffer.from('{"mrtd":"00","ccel":""}'));
    await expect(readClaim(disk)).rejects.toMatchObject({ code: 'DOCUMENT_INVALID' });
    expect(disk.calls).toEqual(['mount', 'unmount']);
    expect(failure(() => parseClaim(Buffer.from('{'))).code).toBe('JSON_INVALID');
  });
});
