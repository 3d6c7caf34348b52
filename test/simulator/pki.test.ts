import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { DEVELOPMENT_SEED, type KeyLabel, mockKey } from '../../simulator/mock-keys.ts';
import { mockPki, pckChain, pemChain } from '../../simulator/pki.ts';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import vectors from '../vectors/mock-pki.json' with { type: 'json' };

const SEED = new Uint8Array(32).fill(0x31);
const PKI = mockPki(SEED);
const parsed = (der: Uint8Array): X509Certificate => new X509Certificate(der);

describe('keys', () => {
  it.each(vectors.mock_pki_p256_keys)('$label of seed $seed_hex', (vector) => {
    const key = mockKey(fromHex(vector.seed_hex), vector.label as KeyLabel);
    expect(toHex(key.scalar)).toBe(vector.private_scalar_hex);
    expect(toHex(key.point)).toBe(vector.uncompressed_point_hex);
  });

  it('need a seed of 32 bytes', () => {
    expect(() => mockKey(new Uint8Array(31), 'tdx-root')).toThrowError(/31 bytes/);
    expect(fromHex(DEVELOPMENT_SEED)).toHaveLength(32);
  });
});

describe('certificates', () => {
  it('are the same for the same seed, and others for another', () => {
    expect(toHex(mockPki(SEED).pck)).toBe(toHex(PKI.pck));
    expect(toHex(mockPki(SEED).pckCrl)).toBe(toHex(PKI.pckCrl));
    expect(mockPki(new Uint8Array(32).fill(0x32)).root).not.toEqual(PKI.root);
  });

  it.each([
    ['root', 'Mock Intel SGX Root CA', 'root', true],
    ['pckCa', 'Mock Intel SGX PCK Platform CA', 'root', true],
    ['pck', 'Mock Intel SGX PCK Certificate', 'pckCa', false],
    ['tcb', 'Mock Intel SGX TCB Signing', 'root', false],
    ['qe', 'Mock Intel SGX QE Identity Signing', 'root', false],
  ] as const)('%s is %s, signed by %s', (name, commonName, issuer, ca) => {
    const certificate = parsed(PKI[name]);
    expect(certificate.subject).toBe(`CN=${commonName}`);
    expect(certificate.verify(parsed(PKI[issuer]).publicKey)).toBe(true);
    expect(certificate.checkIssued(parsed(PKI[issuer]))).toBe(true);
    expect(certificate.ca).toBe(ca);
    expect(certificate.serialNumber).toBe('2A');
    expect(certificate.subjectAltName).toBe('DNS:mock.dstack.invalid');
    expect(new Date(certificate.validFrom).toISOString()).toBe('2020-01-01T00:00:00.000Z');
    expect(new Date(certificate.validTo).toISOString()).toBe('2100-01-01T00:00:00.000Z');
    expect(certificate.keyUsage).toEqual(ca ? undefined : ['1.3.6.1.5.5.7.3.1']);
  });

  it('chain from the leaf to the root in PEM', () => {
    const pems = pckChain(PKI).split(/(?<=-----END CERTIFICATE-----\n)/);
    expect(pems.map((text) => new Uint8Array(new X509Certificate(text).raw))).toEqual([PKI.pck, PKI.pckCa, PKI.root]);
    expect(
      pemChain(PKI.root)
        .split('\n')
        .every((line) => line.length <= 64),
    ).toBe(true);
  });
});
