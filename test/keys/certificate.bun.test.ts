/** The same certificate code under the runtime of the product: WebCrypto and the X.509 library behave alike there. */
import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';

describe('certificates under Bun', () => {
  it.runIf('Bun' in globalThis)('are made and verify', async () => {
    const { keysFromSeed } = await import('../../src/keys/seed-keys.ts');
    const { localCaCert, signLeaf } = await import('../../src/keys/ca-cert.ts');
    const { freshTlsKey } = await import('../../src/keys/tls-key.ts');
    const seedKeys = keysFromSeed(new Uint8Array(32).fill(0x42), { kind: 'none' });
    const caCert = await localCaCert({ appKey: seedKeys.appKey, attestation: new Uint8Array(10) });
    const [leaf] = await signLeaf({ ...seedKeys, caCert }, freshTlsKey(), {
      commonName: 'x',
      altNames: ['a.example', '10.0.0.1'],
      serverAuth: true,
    });
    expect(new X509Certificate(leaf!).verify(new X509Certificate(caCert).publicKey)).toBe(true);
  });

  it.runIf('Bun' in globalThis)('decrypt the environment, and small-order points are refused', async () => {
    const { openEnvBlob } = await import('../../src/config/env-cipher.ts');
    const { fromHex } = await import('../../src/codec/hex.ts');
    const vectors = (await import('../vectors/config.json', { with: { type: 'json' } })).default;
    for (const { secret_hex, ciphertext_hex, plaintext_utf8 } of vectors.env_decrypt) {
      const plain = openEnvBlob(fromHex(secret_hex), fromHex(ciphertext_hex));
      expect(new TextDecoder().decode(plain)).toBe(plaintext_utf8);
      const zeroPoint = fromHex(ciphertext_hex).fill(0, 0, 32);
      expect(() => openEnvBlob(fromHex(secret_hex), zeroPoint)).toThrow('invalid X25519 shared secret');
    }
  });
});
