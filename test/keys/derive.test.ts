import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { hkdf } from '@noble/hashes/hkdf';
import { sha256 } from '@noble/hashes/sha2';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import { p256FromPem } from '../../src/keys/ca-cert.ts';
import { deriveKey, deriveP256, dhSecret, p256FromScalar, utf8Part } from '../../src/keys/derive.ts';
import { freshTlsKey, privateKeyPem, tlsKeyOfPath } from '../../src/keys/tls-key.ts';
import { fromPem, toPem } from '../../src/x509/x509.ts';
import vectors from '../vectors/keys.json' with { type: 'json' };

const text = (parts: readonly string[]) => parts.map(utf8Part);

describe('HKDF', () => {
  it.each(vectors.hkdf_derive_key)('$name', ({ ikm_hex, context_parts_hex, length, okm_hex }) => {
    const parts = context_parts_hex.map((part) => fromHex(part));
    expect(toHex(deriveKey(fromHex(ikm_hex), parts, length))).toBe(okm_hex);
  });

  it('knows no limit for the length of a path', () => {
    for (const size of [1023, 1024, 1025, 100_000]) {
      for (const length of [16, 32, 48, 96]) {
        const [ikm, info] = [new Uint8Array(32).fill(7), new Uint8Array(size).fill(9)];
        const other = hkdf(sha256, ikm, utf8Part('RATLS'), info, length);
        expect(toHex(deriveKey(ikm, [info], length)), `${size} to ${length}`).toBe(toHex(other));
      }
    }
  });

  it('concatenates its parts without separators', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.array(fc.uint8Array(), { maxLength: 5 }), (ikm, parts) => {
        const joined = Uint8Array.from(Buffer.concat(parts));
        expect(deriveKey(ikm, parts, 32)).toEqual(deriveKey(ikm, [joined], 32));
      }),
    );
  });
});

describe('P-256', () => {
  it.each(vectors.p256_derivation)('$name', (vector) => {
    const ikm = 'ikm_hex' in vector && vector.ikm_hex !== undefined ? fromHex(vector.ikm_hex) : rootScalar(vector);
    const key = deriveP256(ikm, text(vector.contexts));
    expect(toHex(key.scalar)).toBe(vector.derived.private_scalar_hex);
    expect(toHex(key.pkcs8Der)).toBe(vector.derived.pkcs8_der_hex);
    expect(toHex(key.spkiDer)).toBe(vector.derived.spki_der_hex);
    expect(toHex(dhSecret(ikm, text(vector.contexts)))).toBe(vector.derived.sha256_of_pkcs8_hex);
    if ('expected_dh_secret_hex' in vector) {
      expect(vector.derived.sha256_of_pkcs8_hex).toBe(vector.expected_dh_secret_hex);
    }
  });

  it('refuses scalars outside [1, n-1] and of another length', () => {
    const n = 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551';
    for (const hex of ['00'.repeat(32), n, 'ff'.repeat(32), '01'.repeat(31), '01'.repeat(33), '']) {
      expect(() => p256FromScalar(fromHex(hex)), hex).toThrow(DstackError);
    }
    const last = `${n.slice(0, -2)}50`;
    expect(toHex(p256FromScalar(fromHex(last)).scalar)).toBe(last);
  });

  it('writes DER that other readers accept', () => {
    const { pkcs8Der, spkiDer } = deriveP256(new Uint8Array(32), text(['x']));
    const key = createPrivateKey({ key: Buffer.from(pkcs8Der), format: 'der', type: 'pkcs8' });
    expect(createPublicKey(key).export({ format: 'der', type: 'spki' })).toEqual(Buffer.from(spkiDer));
  });
});

/** The vector with a whole root key: its scalar sits behind 36 bytes of DER. */
function rootScalar(vector: object): Uint8Array {
  return fromHex((vector as { root_pkcs8_der_hex: string }).root_pkcs8_der_hex).slice(36, 68);
}

describe('KMS key tree (for cross-checks)', () => {
  it.each(vectors.kms_derivation_sample)('$name', (vector) => {
    const root = fromHex(vector.root_ca_p256_scalar_hex);
    const appId = fromHex(vector.app_id_hex);
    const instance = fromHex(vector.instance_id_hex);
    expect(toHex(dhSecret(root, [appId, instance, utf8Part('app-disk-crypt-key')]))).toBe(vector.disk_crypt_key_hex);
    expect(toHex(dhSecret(root, [appId, utf8Part('env-encrypt-key')]))).toBe(vector.env_crypt_key_hex);
    expect(toHex(deriveP256(root, [appId, utf8Part('app-ca')]).scalar)).toBe(vector.app_ca_p256_scalar_hex);
    const k256 = deriveKey(fromHex(vector.root_k256_key_hex), [appId, utf8Part('app-key')], 32);
    expect(toHex(k256)).toBe(vector.app_k256_key_hex);
  });
});

describe('TLS keys', () => {
  it.each(vectors.tappd_derive_key)('DeriveKey $name', ({ app_k256_key_hex, path, derived }) => {
    const key = tlsKeyOfPath(fromHex(app_k256_key_hex), path);
    expect(toHex(key.scalar)).toBe(derived.private_scalar_hex);
    expect(
      createHash('sha256')
        .update(fromPem(privateKeyPem(key), 'PRIVATE KEY'))
        .digest('hex'),
    ).toBe(derived.sha256_of_pkcs8_hex);
  });

  it('are new each time where they should be', () => {
    expect(freshTlsKey().scalar).not.toEqual(freshTlsKey().scalar);
    const k256 = new Uint8Array(32).fill(1);
    expect(tlsKeyOfPath(k256, 'a', true).scalar).not.toEqual(tlsKeyOfPath(k256, 'a', true).scalar);
    expect(tlsKeyOfPath(k256, 'a').scalar).not.toEqual(tlsKeyOfPath(k256, 'b').scalar);
  });
});

describe('PEM', () => {
  it('has LF line ends, 64 columns and a trailing newline', () => {
    const pem = toPem('PRIVATE KEY', deriveP256(new Uint8Array(32), []).pkcs8Der);
    expect(pem).toMatch(
      /^-----BEGIN PRIVATE KEY-----\n([A-Za-z0-9+/]{64}\n)+[A-Za-z0-9+/=]{1,64}\n-----END PRIVATE KEY-----\n$/,
    );
  });

  it('round trips', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1 }), (der) => {
        expect(fromPem(toPem('X', der), 'X')).toEqual(der);
      }),
    );
  });

  it('reads private keys and refuses others without quoting them', () => {
    const key = deriveP256(new Uint8Array(32), []);
    expect(p256FromPem(privateKeyPem(key)).scalar).toEqual(key.scalar);
    const broken = privateKeyPem(key).replace('MIGH', 'MIGX');
    expect(() => p256FromPem(broken)).toThrow(DstackError);
    try {
      p256FromPem(broken);
    } catch (thrown) {
      expect(JSON.stringify(thrown)).not.toContain(broken.slice(40, 60));
    }
  });

  it('never throws anything but KEY_INVALID, and never shows what it was given', () => {
    const body = Buffer.from(
      privateKeyPem(deriveP256(new Uint8Array(32), []))
        .split('\n')
        .slice(1, 4)
        .join('\n'),
    );
    const damaged = fc
      .tuple(
        fc.nat(body.length - 1),
        fc.integer({ min: 32, max: 126 }),
        fc.constantFrom('PRIVATE KEY', 'EC PRIVATE KEY', 'X'),
      )
      .map(([at, byte, label]) => `-----BEGIN ${label}-----\n${body.with(at, byte)}\n-----END ${label}-----\n`);
    fc.assert(
      fc.property(fc.oneof(fc.string(), damaged), (pem) => {
        try {
          p256FromPem(pem);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
          expect((thrown as DstackError).code).toBe('KEY_INVALID');
          expect((thrown as DstackError).cause).toBeUndefined();
          expect(JSON.stringify(thrown)).not.toContain(body.toString().slice(0, 24));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('of other curves and lengths is refused', () => {
    const pem = (namedCurve: string) =>
      generateKeyPairSync('ec', {
        namedCurve,
        privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
        publicKeyEncoding: { type: 'spki', format: 'pem' },
      }).privateKey;
    expect(p256FromPem(pem('P-256')).scalar).toHaveLength(32);
    for (const curve of ['P-384', 'secp256k1']) expect(() => p256FromPem(pem(curve)), curve).toThrow(DstackError);
    const { privateKey } = generateKeyPairSync('ed25519');
    expect(() => p256FromPem(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())).toThrow(DstackError);
  });
});
