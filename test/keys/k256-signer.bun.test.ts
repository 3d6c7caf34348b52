/** libsecp256k1 where Debian's package puts it, beside noble. Without the package there is nothing to compare. */
import { randomBytes } from 'node:crypto';
import { secp256k1 } from '@noble/curves/secp256k1';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { openSigner } from '../../src/keys/k256-signer.ts';
import { compressedPublicKey, signRecoverable, verifyCompact } from '../../src/keys/secp256k1.ts';
import { openLibSecp256k1 } from '../../src/sys/libsecp256k1.ts';
import vectors from '../vectors/keys.json' with { type: 'json' };

const library = await openLibSecp256k1();
const bytes = () => fc.uint8Array({ minLength: 32, maxLength: 32 });
const ORDER = 'fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141';
const outcome = (work: () => Uint8Array) => {
  try {
    return toHex(work());
  } catch (thrown) {
    return (thrown as { code?: string }).code;
  }
};

describe.skipIf(library === undefined)('libsecp256k1', async () => {
  const signer = await openSigner(async () => library);

  it('is what signs', () => expect(signer.publicKey).not.toBe(compressedPublicKey));

  it('gives the bytes that noble gives, for any key and hash', () => {
    fc.assert(
      fc.property(bytes(), bytes(), (scalar, hash) => {
        expect(outcome(() => signer.publicKey(scalar))).toBe(outcome(() => compressedPublicKey(scalar)));
        const ours = outcome(() => signer.signRecoverable(scalar, hash));
        expect(ours).toBe(outcome(() => signRecoverable(scalar, hash)));
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ['zero', '00'.repeat(32)],
    ['one', `${'00'.repeat(31)}01`],
    ['the largest scalar', `${ORDER.slice(0, -2)}40`],
    ['the order', ORDER],
    ['the order and one', `${ORDER.slice(0, -2)}42`],
    ['all ones', 'ff'.repeat(32)],
  ])('agrees with noble at the edges: %s', (_, text) => {
    const edge = fromHex(text);
    const scalar = Uint8Array.from(randomBytes(32));
    expect(outcome(() => signer.publicKey(edge))).toBe(outcome(() => compressedPublicKey(edge)));
    expect(outcome(() => signer.signRecoverable(edge, scalar))).toBe(outcome(() => signRecoverable(edge, scalar)));
    expect(outcome(() => signer.signRecoverable(scalar, edge))).toBe(outcome(() => signRecoverable(scalar, edge)));
  });

  it('takes nothing that is shorter or longer than the library reads', () => {
    const good = new Uint8Array(32).fill(1);
    for (const length of [0, 31, 33]) {
      const wrong = new Uint8Array(length).fill(1);
      expect(outcome(() => signer.publicKey(wrong))).toBe('KEY_INVALID');
      expect(outcome(() => signer.signRecoverable(wrong, good))).toBe('KEY_INVALID');
      expect(outcome(() => signer.signRecoverable(good, wrong))).toBe('KEY_INVALID');
      expect(() => library?.publicKey(wrong)).toThrow(RangeError);
      expect(() => library?.signRecoverable(good, wrong)).toThrow(RangeError);
    }
  });

  it('verifies what noble verifies, and calls the same bytes malformed', () => {
    const [low, high] = ['7f', 'ff'].map((first) => fromHex(`${first}${'ff'.repeat(31)}`));
    const edges = fc.constantFrom(
      ...['00'.repeat(32), `${'00'.repeat(31)}01`, ORDER, 'ff'.repeat(32)].map((text) => fromHex(text)),
    );
    const any = fc.oneof(bytes(), edges, fc.constantFrom(low as Uint8Array, high as Uint8Array));
    const scalars = fc.uint8Array({ minLength: 32, maxLength: 32, min: 1, max: 0xfe });
    const what = (verify: typeof verifyCompact, ...args: Parameters<typeof verifyCompact>) => {
      try {
        return verify(...args);
      } catch (thrown) {
        return String(thrown);
      }
    };
    const seen = new Set<boolean | string>();
    const bend = fc.constantFrom('right', 'hash', 'r', 's', 'high', 'key', 'keyForm', 'form', 'short', 'shortKey');
    fc.assert(
      fc.property(scalars, any, any, fc.nat(255), bend, (scalar, hash, other, byte, bent) => {
        let signature = signRecoverable(scalar, hash).slice(0, 64);
        let key = compressedPublicKey(scalar);
        if (byte & 1) key = secp256k1.ProjectivePoint.fromHex(key).toRawBytes(false);
        if (bent === 'r') signature.set(other);
        if (bent === 's') signature.set(other, 32);
        if (bent === 'high') {
          const s = secp256k1.CURVE.n - BigInt(`0x${toHex(signature.subarray(32))}`);
          signature.set(fromHex(s.toString(16).padStart(64, '0')), 32);
        }
        if (bent === 'key') key.set(other, 1);
        if (bent === 'keyForm') key[0] = byte;
        if (bent === 'form') key = Uint8Array.from([6 | (byte & 1), ...key.subarray(1)]);
        if (bent === 'short') signature = signature.slice(byte % 64);
        if (bent === 'shortKey') key = key.slice(0, byte % 65);
        const args = [key, bent === 'hash' ? other : hash, signature] as const;
        const answer = what(signer.verifyCompact, ...args);
        expect(answer).toBe(what(verifyCompact, ...args));
        seen.add(answer);
      }),
      { numRuns: 400 },
    );
    expect(seen.size).toBe(4); // true, false, a malformed key, a malformed signature
  });

  it('reads keys where they are in a larger buffer', () => {
    const all = Uint8Array.from(randomBytes(96));
    const [scalar, hash] = [all.subarray(7, 39), all.subarray(41, 73)];
    expect(toHex(signer.signRecoverable(scalar, hash))).toBe(toHex(signRecoverable(scalar, hash)));
  });

  it('computes the recorded keys and chains', () => {
    for (const sample of vectors.kms_derivation_sample) {
      const key = fromHex(sample.root_k256_key_hex);
      expect(toHex(signer.publicKey(key))).toBe(sample.root_k256_pubkey_hex);
      const signature = signer.signRecoverable(key, fromHex(sample.k256_signature_keccak256_hex));
      expect(toHex(signature)).toBe(sample.k256_signature_hex);
    }
  });
});

describe('a library that is not there, or not what it seems', () => {
  it('leaves the work to noble', async () => {
    const { publicKey } = await openSigner(() => openLibSecp256k1(['/nonexistent/libsecp256k1.so']));
    expect(publicKey).toBe(compressedPublicKey);
    expect(await openLibSecp256k1(['/lib/x86_64-linux-gnu/libc.so.6'])).toBeUndefined(); // without our functions
  });

  it.each([
    ['another point', { publicKey: () => new Uint8Array(33) }],
    ['another nonce', { signRecoverable: () => new Uint8Array(65) }],
    ['nothing', { publicKey: () => undefined }],
    ['that anything is signed', { verify: () => true }],
    ['that nothing is signed', { verify: () => false }],
  ])('is not trusted when it answers %s', async (_, wrong) => {
    const right = {
      publicKey: compressedPublicKey,
      signRecoverable,
      verify: verifyCompact,
    };
    expect((await openSigner(async () => ({ ...right, ...wrong }))).publicKey).toBe(compressedPublicKey);
    expect((await openSigner(async () => right)).publicKey).not.toBe(compressedPublicKey); // as the test means it
  });
});
