import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { x25519PublicKey } from '../../src/codec/x25519.ts';
import { openSealedBox } from '../../src/keys/sealed-box.ts';
import { failure } from '../failure.ts';
import vectors from '../vectors/sealed-box.json' with { type: 'json' };

const secret = fromHex(vectors.secret_key_hex);
const [first] = vectors.boxes;
const sealed = fromHex(first?.sealed_hex ?? '');

describe('sealed boxes', () => {
  it.each(vectors.boxes)('of libsodium open', ({ plaintext_hex, sealed_hex }) => {
    expect(toHex(x25519PublicKey(secret))).toBe(vectors.public_key_hex);
    expect(toHex(openSealedBox(fromHex(sealed_hex), secret))).toBe(plaintext_hex);
  });

  it('stay shut for another key, after any change, and when they are cut', () => {
    expect(failure(() => openSealedBox(sealed, new Uint8Array(32).fill(7))).code).toBe('KEY_INVALID');
    fc.assert(
      fc.property(fc.nat(sealed.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const changed = Uint8Array.from(sealed);
        changed[at] = (changed[at] ?? 0) ^ mask;
        expect(failure(() => openSealedBox(changed, secret)).code).toBe('KEY_INVALID');
      }),
      { numRuns: 60 },
    );
    for (const length of [0, 31, 47, sealed.length - 1]) {
      expect(failure(() => openSealedBox(sealed.subarray(0, length), secret)).code).toBe('KEY_INVALID');
    }
  });

  it('with a public key of small order are refused: everybody knows their key', () => {
    const weak = Uint8Array.from(sealed);
    weak.fill(0, 0, 32);
    expect(failure(() => openSealedBox(weak, secret)).message).toContain('invalid X25519 public key');
  });
});
