/** A KMS that wants to know the operating system of its guests. */
import { describe, expect, it } from 'vitest';
import { evidence } from '../../../simulator/canned-evidence.ts';
import { type KnownImage, requireKnownImage } from '../../../simulator/kms/known-image.ts';
import { claimOf } from '../../../simulator/system-claim.ts';
import type { ImageParts } from '../../../src/os-image/os-image.ts';
import { type Attestation, strip, tdxQuote } from '../../../src/tdx/attestation.ts';
import { parseQuote } from '../../../src/tdx/quote-layout.ts';
import { failure } from '../../failure.ts';
import { changed, PARTS, SHAPE } from '../system-sample.ts';
import { pki } from './guest.ts';

const HASH = 'ab'.repeat(32);
const IMAGES: readonly KnownImage[] = [
  { hash: 'cd'.repeat(32), parts: changed('kernel') },
  { hash: HASH, parts: PARTS },
];
const vmConfig = (changes: object = {}) =>
  JSON.stringify({ os_image_hash: HASH, cpu_count: 2, memory_size: SHAPE.memorySize, ...changes });

/** What a guest shows in its certificate. */
const attest = (parts: ImageParts, shape = SHAPE): Attestation =>
  strip(evidence(pki, [], new Uint8Array(64), vmConfig(), {}, claimOf(parts, shape)));

const judge = (attestation: Attestation, config = vmConfig()) =>
  requireKnownImage(IMAGES, parseQuote(tdxQuote(attestation)).body, attestation, config);

/** The reasons of a refusal. */
function refusal(work: () => void): string {
  const { code, message, cause } = failure(work);
  expect(code).toBe('REQUIREMENT_UNMET');
  return `${message} ${cause instanceof Error ? cause.message : ''}`;
}

describe('a known image', () => {
  it('is proven by what is left of the log in a certificate', () => {
    expect(() => judge(attest(PARTS))).not.toThrow();
  });

  it.each([
    ['kernel', 'RTMR1', 'kernel'],
    ['initrd', 'RTMR2', 'initrd'],
    ['cmdline', 'RTMR2', 'command line'],
    ['firmware', 'MRTD', 'firmware'],
  ] as const)('is not one with a flipped byte in its %s: the refusal names %s and %s', (part, register, name) => {
    const told = refusal(() => judge(attest(changed(part))));
    expect(told).toContain(`${register} is not that of image ${HASH}`);
    expect(told.slice(told.indexOf('another'))).toContain(name);
  });

  it('has the shape that the host says', () => {
    const told = refusal(() => judge(attest(PARTS, { ...SHAPE, memorySize: 2 ** 32 })));
    expect(told).toContain('RTMR0 is not that of image');
    expect(told).toContain('memory size');
  });

  it('is named by the guest, and on the list', () => {
    expect(refusal(() => judge(attest(PARTS), vmConfig({ os_image_hash: '01'.repeat(32) })))).toContain(
      'not on the list',
    );
    expect(refusal(() => judge(attest(PARTS), vmConfig({ os_image_hash: '' })))).toContain('names none');
    // another image of the list is not this one
    expect(refusal(() => judge(attest(PARTS), vmConfig({ os_image_hash: 'cd'.repeat(32) })))).toContain('RTMR1');
  });

  it('cannot be proven without the ACPI digests or with more of them', () => {
    const whole = attest(PARTS);
    const { platform } = whole;
    if (platform.kind !== 'tdx') throw new Error('not TDX');
    const [first, ...rest] = platform.eventLog;
    for (const eventLog of [rest, [first!, ...platform.eventLog]])
      expect(refusal(() => judge({ ...whole, platform: { ...platform, eventLog } }))).toContain('RTMR0');
  });

  it.each(['', '{', '[]', '{"memory_size":"much"}'])(
    'is not proven with a vm_config that cannot be read: %j',
    (text) => {
      expect(refusal(() => judge(attest(PARTS), text))).toContain('does not say how its VM was built');
    },
  );
});
