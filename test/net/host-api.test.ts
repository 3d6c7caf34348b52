import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fitPayload, MAX_PAYLOAD_BYTES, notifyHost } from '../../src/net/host-api.ts';

describe('notifyHost', () => {
  it('has nothing to do without an address and on clouds', async () => {
    expect(await notifyHost(undefined, 'boot.progress', 'x')).toBe(false);
    expect(await notifyHost('', 'boot.progress', 'x')).toBe(false);
    expect(await notifyHost('unix:/nowhere', 'boot.progress', 'x', { platform: 'gcp' })).toBe(false);
  });

  it('fails when the host is not there', async () => {
    await expect(notifyHost('unix:/nowhere', 'boot.progress', 'x')).rejects.toMatchObject({
      code: 'HOST_API_UNREACHABLE',
    });
  });
});

describe('fitPayload', () => {
  it('keeps what fits', () => {
    const text = 'ä'.repeat(MAX_PAYLOAD_BYTES / 2);
    expect(fitPayload(text)).toBe(text);
  });

  it('cuts at a character boundary, never above the limit', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 8 }), fc.constantFrom('a', 'ä', '€', '🙂'), (offset, character) => {
        const cut = fitPayload('x'.repeat(offset) + character.repeat(MAX_PAYLOAD_BYTES + 1));
        expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(MAX_PAYLOAD_BYTES);
        expect(Buffer.byteLength(cut)).toBeGreaterThan(MAX_PAYLOAD_BYTES - 9);
        expect(cut.slice(0, -1)).not.toContain('\ufffd');
        expect(cut.endsWith('…')).toBe(true);
      }),
    );
  });
});
