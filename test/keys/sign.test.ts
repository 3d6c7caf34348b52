import { secp256k1 } from '@noble/curves/secp256k1';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import { reportData } from '../../src/keys/report-data.ts';
import { appKeyReportData, signData, verifyData } from '../../src/keys/sign.ts';
import vectors from '../vectors/keys.json' with { type: 'json' };

const keys = { k256Key: fromHex(vectors.sign[0]!.app_k256_key_hex), k256Signature: new Uint8Array() };
const data = new TextEncoder().encode('test message');

describe('Sign', () => {
  it.each(vectors.sign)('$name', async (vector) => {
    // the second link of GetKey's chain is the KMS signature the vector was made with
    const k256Signature = fromHex(vector.signature_chain_hex[2]!);
    const signed = await signData(
      { k256Key: fromHex(vector.app_k256_key_hex), k256Signature },
      vector.algorithm,
      fromHex(vector.data_hex),
    );
    expect(toHex(signed.signature)).toBe(vector.signature_hex);
    expect(toHex(signed.publicKey)).toBe(vector.public_key_hex);
    expect(signed.signatureChain.map(toHex)).toEqual(vector.signature_chain_hex);
    expect(await verifyData(vector.algorithm, fromHex(vector.data_hex), signed.signature, signed.publicKey)).toBe(true);
  });

  it('wants a digest of 32 bytes where it is told so', async () => {
    await expect(signData(keys, 'secp256k1_prehashed', new Uint8Array(31))).rejects.toThrow(
      'Pre-hashed signing requires a 32-byte digest, but received 31 bytes',
    );
  });

  it.each(['', 'rsa', 'Ed25519'])('refuses algorithm %j', async (algorithm) => {
    await expect(signData(keys, algorithm, data)).rejects.toThrow('Unsupported algorithm');
    await expect(verifyData(algorithm, data, new Uint8Array(64), new Uint8Array(32))).rejects.toThrow(
      'Unsupported algorithm',
    );
  });
});

describe('Verify', () => {
  it.each(['ed25519', 'secp256k1', 'secp256k1_prehashed'])('%s: a changed bit is false', async (algorithm) => {
    const content = algorithm === 'secp256k1_prehashed' ? new Uint8Array(32).fill(5) : data;
    const { signature, publicKey } = await signData(keys, algorithm, content);
    const other = Uint8Array.from(content);
    other[3]! ^= 1;
    expect(await verifyData(algorithm, other, signature, publicKey)).toBe(false);
    const bent = Uint8Array.from(signature);
    bent[10]! ^= 1;
    expect(await verifyData(algorithm, content, bent, publicKey)).toBe(false);
  });

  it('takes uncompressed public keys and refuses high S', async () => {
    const { signature, publicKey } = await signData(keys, 'k256', data);
    const uncompressed = secp256k1.ProjectivePoint.fromHex(publicKey).toRawBytes(false);
    expect(await verifyData('k256', data, signature, uncompressed)).toBe(true);
    const s = BigInt(`0x${toHex(signature.subarray(32))}`);
    const high = fromHex((secp256k1.CURVE.n - s).toString(16).padStart(64, '0'));
    const flipped = Uint8Array.from([...signature.subarray(0, 32), ...high]);
    expect(await verifyData('k256', data, flipped, publicKey)).toBe(false);
  });

  it('judges short digests as the deployed verifiers do', async () => {
    const short = new Uint8Array(16).fill(7);
    const padded = new Uint8Array(32);
    padded.set(short, 16);
    const { signature, publicKey } = await signData(keys, 'secp256k1_prehashed', padded);
    expect(await verifyData('secp256k1_prehashed', short, signature, publicKey)).toBe(true);
    const tooShort = padded.slice(17);
    const right = await signData(keys, 'secp256k1_prehashed', Uint8Array.from([...new Uint8Array(17), ...tooShort]));
    expect(await verifyData('secp256k1_prehashed', tooShort, right.signature, publicKey)).toBe(false);
    const long = Uint8Array.from([...padded, 1, 2, 3]);
    expect(await verifyData('secp256k1_prehashed', long, signature, publicKey)).toBe(true);
  });

  it('calls malformed input an error, not false', async () => {
    const { signature, publicKey } = await signData(keys, 'k256', data);
    const order = fromHex('fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141');
    const bad: [string, Uint8Array, Uint8Array][] = [
      ['k256', signature.subarray(1), publicKey],
      ['k256', new Uint8Array(64), publicKey],
      ['k256', Uint8Array.from([...order, ...signature.subarray(32)]), publicKey],
      ['k256', signature, publicKey.subarray(1)],
      ['k256', signature, Uint8Array.from([2, ...new Uint8Array(32).fill(0xff)])],
      ['k256', signature, Uint8Array.from([5, ...publicKey.subarray(1)])],
      ['ed25519', signature.subarray(1), new Uint8Array(32)],
      ['ed25519', signature, new Uint8Array(31)],
      ['ed25519', signature, Uint8Array.from([2, ...new Uint8Array(31)])], // y = 2 is on no point
    ];
    for (const [algorithm, sig, key] of bad) {
      await expect(verifyData(algorithm, data, sig, key), `${algorithm} ${toHex(key)}`).rejects.toThrow(DstackError);
    }
  });

  it('never throws anything else', async () => {
    const bytes = (length: number) =>
      fc.oneof(fc.uint8Array({ minLength: length, maxLength: length }), fc.uint8Array());
    const algorithm = fc.constantFrom('ed25519', 'secp256k1', 'secp256k1_prehashed', 'k256', '', 'x');
    await fc.assert(
      fc.asyncProperty(algorithm, bytes(32), bytes(64), bytes(33), async (name, content, signature, key) => {
        const answer = await verifyData(name, content, signature, key).catch((thrown: unknown) => thrown);
        expect(typeof answer === 'boolean' || answer instanceof DstackError, String(answer)).toBe(true);
      }),
      { numRuns: 150 },
    );
  });
});

describe('report data', () => {
  it.each(vectors.report_data)('$name', ({ tag, content_hex, hash_algorithm, report_data_hex }) => {
    expect(toHex(reportData(hash_algorithm, tag, fromHex(content_hex)))).toBe(report_data_hex);
  });

  it('refuses unknown hashes and raw content of another length', () => {
    expect(() => reportData('md5', 'app-data', data)).toThrow('invalid hash algorithm');
    expect(() => reportData('raw', 'app-data', data)).toThrow('invalid content length');
    expect(reportData('raw', 'app-data', new Uint8Array(64).fill(3))).toEqual(new Uint8Array(64).fill(3));
    expect(reportData('', 'app-data', data)).toEqual(reportData('sha512', 'app-data', data));
  });

  it.each(vectors.app_key_attestation_report_data)('of the app key: $name', async (vector) => {
    const key = { k256Key: fromHex(vector.app_k256_key_hex), k256Signature: new Uint8Array() };
    expect(toHex(await appKeyReportData(key, vector.algorithm))).toBe(vector.report_data_hex);
  });

  it.each(['', 'secp256k1_prehashed'])('of the app key refuses %j', async (algorithm) => {
    await expect(appKeyReportData(keys, algorithm)).rejects.toThrow('Unsupported algorithm');
  });
});
