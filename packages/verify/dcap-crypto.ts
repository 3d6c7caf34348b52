/**
 * What @phala/dcap-qvl asks of node:crypto, over this project's own reader of certificates and its own P-256. The library
 * brings a stand-in for browsers, which is replaced by this one: it would add two more implementations of elliptic curves, a
 * certificate has no dates in it, and what cannot be read is written to the console.
 */
import { Buffer } from 'node:buffer';
import { joinBytes } from '../../src/codec/bytes.ts';
import { sha256 } from '../../src/crypto/hash.ts';
import { p256PublicKey, type VerifyingKey } from '../../src/crypto/p256.ts';
import { type Certificate, isSignedBy, parsePemCertificate, plainSignature, publicKeyOf } from '../../src/x509/x509.ts';

interface Key {
  readonly spki?: Uint8Array;
  readonly verify: VerifyingKey['verify'];
}

export class X509Certificate {
  readonly #certificate: Certificate;

  constructor(pem: string) {
    this.#certificate = parsePemCertificate(pem);
  }

  get publicKey(): Key {
    const { spki } = this.#certificate;
    return { spki, verify: (bytes, signature) => publicKeyOf(spki).verify(bytes, signature) };
  }

  get validFrom(): string {
    return new Date(this.#certificate.notBefore).toISOString();
  }

  get validTo(): string {
    return new Date(this.#certificate.notAfter).toISOString();
  }

  verify({ spki }: Key): boolean {
    return spki !== undefined && isSignedBy(this.#certificate.signed, spki);
  }
}

/** Takes pieces of bytes and answers once. */
class Pieces {
  protected readonly pieces: Uint8Array[] = [];

  update(bytes: Uint8Array): this {
    this.pieces.push(bytes);
    return this;
  }
}

class Sha256 extends Pieces {
  digest(): Buffer {
    return Buffer.from(sha256(...this.pieces));
  }
}

class Verifier extends Pieces {
  /** @param signature in DER */
  verify(key: Key, signature: Uint8Array): boolean {
    const plain = plainSignature(signature);
    return plain !== undefined && key.verify(joinBytes(this.pieces), plain);
  }
}

function only(algorithm: string): void {
  if (algorithm.toLowerCase() !== 'sha256') throw new Error(`${algorithm} is not used in quotes`);
}

export function createHash(algorithm: string): Sha256 {
  only(algorithm);
  return new Sha256();
}

export function createVerify(algorithm: string): Verifier {
  only(algorithm);
  return new Verifier();
}

/** @param jwk both coordinates in base64url */
export function createPublicKey({ key: { x, y } }: { readonly key: { readonly x: string; readonly y: string } }): Key {
  const bytes = (text: string) => Buffer.from(text.replaceAll('-', '+').replaceAll('_', '/'), 'base64');
  const key = p256PublicKey(joinBytes([Uint8Array.of(4), bytes(x), bytes(y)]));
  if (key === undefined) throw new Error('the attestation key is not a point of P-256');
  return key;
}

export const isBrowser = true;
