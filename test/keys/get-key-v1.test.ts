import { createHmac, hkdfSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { getKey } from '../../src/keys/get-key.ts';
import { getKeyV1 } from '../../src/keys/get-key-v1.ts';
import { KeyCache } from '../../src/keys/key-cache.ts';
import { compressedPublicKey, keccak256, recoverPublicKey } from '../../src/keys/secp256k1.ts';
import { rejection } from '../failure.ts';
import vectors from '../vectors/guest-api-v1.json' with { type: 'json' };

const keys = { k256Key: fromHex(vectors.k256_key), k256Signature: new Uint8Array(65).fill(7) };

/** The fields of the specification, written once more and in another way. */
const lp = (...fields: (string | Uint8Array)[]): string =>
  fields
    .map((field) => Buffer.from(field as string).toString('hex'))
    .map((hex) => (hex.length / 2).toString(16).padStart(8, '0') + hex)
    .join('');

describe('GetKey of the guest API v1', () => {
  it.each(vectors.keys)('$algorithm key of domain "$domain"', async ({ domain, algorithm, key, public_key }) => {
    const derived = await getKeyV1(keys, domain, algorithm);
    expect(toHex(derived.key)).toBe(key);
    expect(toHex(derived.publicKey)).toBe(public_key);
  });

  it('signs the claim of the specification', async () => {
    const { domain, algorithm, link0 } = vectors.chain;
    const { signatureChain } = await getKeyV1(keys, domain, algorithm);
    expect(signatureChain.map(toHex)).toEqual([link0, toHex(keys.k256Signature)]);
  });

  it('has a chain that leads to the app key, for any domain', async () => {
    const app = toHex(compressedPublicKey(keys.k256Key));
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme', maxLength: 3000 }), fc.boolean(), async (domain, edwards) => {
        const algorithm = edwards ? 'ed25519' : 'secp256k1';
        const { key, publicKey, signatureChain } = await getKeyV1(keys, domain, algorithm);
        const claim = lp('dstack-guest-v1-key-claim', algorithm, domain, publicKey);
        expect(toHex(recoverPublicKey(signatureChain[0]!, keccak256(fromHex(claim))))).toBe(app);
        const info = fromHex(lp('dstack-guest-v1-key', algorithm, domain));
        expect(toHex(key)).toBe(toHex(hkdf(info)));
      }),
      { numRuns: 40 },
    );
  });

  it('keeps algorithms and interfaces apart', async () => {
    const names = ['', 'a', 'a/b', 'vms'];
    const all = await Promise.all(
      names.flatMap((name) => [
        getKeyV1(keys, name, 'secp256k1'),
        getKeyV1(keys, name, 'ed25519'),
        getKey(keys, name, '', 'secp256k1'),
      ]),
    );
    expect(new Set(all.map(({ key }) => toHex(key))).size).toBe(3 * names.length);
  });

  it.each(['', 'k256', 'K256', 'secp256k1_prehashed', 'Secp256k1', ' ed25519', 'rsa'])(
    'refuses algorithm "%s"',
    async (algorithm) => {
      const { code, field, message } = await rejection(getKeyV1(keys, 'a', algorithm));
      expect({ code, field }).toEqual({ code: 'ALGORITHM_UNSUPPORTED', field: 'algorithm' });
      expect(message).toContain('must be secp256k1 or ed25519');
      expect((await rejection(new KeyCache(keys).getV1('a', algorithm))).code).toBe('ALGORITHM_UNSUPPORTED');
    },
  );

  it('shares the cache with the older interface and is never mixed up with it', async () => {
    const cache = new KeyCache(keys, 8);
    const first = await cache.getV1('a', 'secp256k1');
    expect(toHex((await cache.get('a', '', 'secp256k1')).key)).not.toBe(toHex(first.key));
    const expected = toHex(first.key);
    first.key.fill(0); // the caller owns its copy
    expect(toHex((await cache.getV1('a', 'secp256k1')).key)).toBe(expected);
    expect(cache.size).toBe(2);
    cache.clear();
    expect(cache.size).toBe(0);
  });
});

/** HKDF for an info of any length: the library up to 1024 bytes, RFC 5869 by hand above. */
function hkdf(info: Uint8Array): Uint8Array {
  if (info.length <= 1024) return new Uint8Array(hkdfSync('sha256', keys.k256Key, 'dstack-guest-v1', info, 32));
  const prk = createHmac('sha256', 'dstack-guest-v1').update(keys.k256Key).digest();
  return createHmac('sha256', prk).update(info).update(Uint8Array.of(1)).digest();
}
