/** Hashes and P-256 of node:crypto and of plain JavaScript say the same, of good and of spoiled input. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { fromBase64, latin1, lenientUtf8, toBase64, utf8Bytes } from '../../src/codec/text.ts';
import { createHasher as byNode } from '../../src/crypto/hash-node.ts';
import { createHasher as byWeb } from '../../src/crypto/hash-web.ts';
import { p256PublicKey } from '../../src/crypto/p256.ts';
import { p256Key as nodeKey } from '../../src/crypto/p256-node.ts';
import { p256Key as webKey } from '../../src/crypto/p256-web.ts';
import { addressBytes } from '../../src/x509/names.ts';

const ORDER = 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551';

describe('hashes', () => {
  it('are the same in pieces of any size', () => {
    const names = fc.constantFrom('sha256', 'sha384', 'sha512');
    fc.assert(
      fc.property(names, fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }), (name, pieces) => {
        const [node, web] = [byNode(name), byWeb(name)];
        for (const piece of pieces) for (const hash of [node, web]) hash.update(piece);
        expect(toHex(web.digest())).toBe(toHex(node.digest()));
      }),
    );
  });
});

describe('P-256', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const point = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(26));
  const message = utf8Bytes('message');
  const good = new Uint8Array(sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' }));
  const { s } = { s: BigInt(`0x${toHex(good.subarray(32))}`) };
  const highS = fromHex(toHex(good.subarray(0, 32)) + (BigInt(`0x${ORDER}`) - s).toString(16).padStart(64, '0'));
  const bit = (bytes: Uint8Array, at: number): Uint8Array => bytes.with(at, (bytes[at] ?? 0) ^ 1);
  const zero = '00'.repeat(32);
  const half = toHex(good.subarray(0, 32));

  it.each([
    ['as made', good, true],
    ['with the other s', highS, true],
    ['one bit of r', bit(good, 3), false],
    ['one bit of s', bit(good, 40), false],
    ['r is 0', fromHex(zero + half), false],
    ['s is 0', fromHex(half + zero), false],
    ['s is the order', fromHex(half + ORDER), false],
    ['r is beyond the order', fromHex('ff'.repeat(32) + half), false],
    ['cut short', good.subarray(0, 63), false],
    ['empty', new Uint8Array(), false],
  ])('both judge a signature alike: %s', (_, signature, valid) => {
    const compressed = Uint8Array.from([2 + ((point[64] ?? 0) & 1), ...point.subarray(1, 33)]);
    for (const key of [nodeKey(point), webKey(point), nodeKey(compressed), webKey(compressed)]) {
      expect(key?.verify(message, signature)).toBe(valid);
      expect(key?.verify(utf8Bytes('other'), signature)).toBe(false);
    }
  });

  it('both refuse what is not a point', () => {
    for (const wrong of [bit(point, 40), bit(point, 2), new Uint8Array(65).fill(4, 0, 1)]) {
      expect([nodeKey(wrong), webKey(wrong)]).toEqual([undefined, undefined]);
    }
    const hybrid = point.with(0, 6 + ((point[64] ?? 0) & 1));
    for (const wrong of [hybrid, point.subarray(0, 64), new Uint8Array(), Uint8Array.of(0)])
      expect(p256PublicKey(wrong)).toBeUndefined();
  });
});

describe('texts without Buffer', () => {
  it('are those of Buffer', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        const buffer = Buffer.from(bytes);
        expect(latin1(bytes)).toBe(buffer.toString('latin1'));
        expect(lenientUtf8(bytes)).toBe(buffer.toString('utf8'));
        expect(toHex(bytes)).toBe(buffer.toString('hex'));
        expect(toBase64(bytes)).toBe(buffer.toString('base64'));
        expect(fromBase64(toBase64(bytes))).toEqual(bytes);
        expect(fromHex(toHex(bytes))).toEqual(bytes);
      }),
    );
    for (const text of ['A', 'AA=', 'QQ', 'QR==', 'QQ==\n', 'Q-==']) expect(fromBase64(text)).toBeUndefined();
    expect(latin1(new Uint8Array(20_000).fill(0xe9))).toBe('é'.repeat(20_000));
  });

  it('addresses are what node:net takes for one', () => {
    const text = fc.oneof(fc.ipV4(), fc.ipV6(), fc.stringMatching(/^[0-9a-f:.]{1,20}$/), fc.string());
    fc.assert(
      fc.property(text, (host) => {
        const size = { 0: undefined, 4: 4, 6: 16 }[host.includes('%') ? 0 : isIP(host)];
        expect(addressBytes(host)?.length).toBe(size);
      }),
      { numRuns: 2000 },
    );
    for (const host of ['01.1.1.1', '1.1.1', '1.1.1.1.', '::1%eth0', '[::1]', ':::', '1:2:3:4:5:6:7:8:9'])
      expect(addressBytes(host)).toBeUndefined();
  });
});
