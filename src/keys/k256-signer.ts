/**
 * What the agent does with secp256k1: by libsecp256k1 where it is installed, else by noble. Both give the same bytes (RFC 6979
 * leaves no choice, low S takes the other half away), which a known answer proves before the library is trusted.
 */
import { fromHex, toHex } from '../codec/hex.ts';
import { DstackError } from '../errors.ts';
import { type LibSecp256k1, openLibSecp256k1 } from '../sys/libsecp256k1.ts';
import { checkCompactSignature, hasPointForm, notAPoint, reduceHash } from './k256-scalar.ts';

export interface K256Signer {
  /** The compressed point, 33 bytes. @throws KEY_INVALID */
  publicKey(scalar: Uint8Array): Uint8Array;
  /**
   * Signs a 32-byte hash: RFC 6979 nonce with HMAC-SHA256 whatever made the hash, low S.
   * @returns r (32) | s (32) | recovery id (1 byte, not offset by 27)
   * @throws KEY_INVALID
   */
  signRecoverable(scalar: Uint8Array, hash: Uint8Array): Uint8Array;
  /**
   * Verifies r | s over a 32-byte hash. High-S signatures are false.
   * @throws KEY_INVALID for a malformed public key or signature (wrong length, r or s zero or not below the order)
   */
  verifyCompact(publicKey: Uint8Array, hash: Uint8Array, signature: Uint8Array): boolean;
}

let signer: Promise<K256Signer> | undefined;

/** The signer of this process; opened once. */
export function k256Signer(): Promise<K256Signer> {
  signer ??= openSigner();
  return signer;
}

/** @param open where the library comes from */
export async function openSigner(open: typeof openLibSecp256k1 = openLibSecp256k1): Promise<K256Signer> {
  const library = await open();
  if (library !== undefined && isRight(library)) return withLibrary(library);
  const { compressedPublicKey, signRecoverable, verifyCompact } = await import('./secp256k1.ts');
  return { publicKey: compressedPublicKey, signRecoverable, verifyCompact };
}

function withLibrary(library: LibSecp256k1): K256Signer {
  const checked = (bytes: Uint8Array | undefined): Uint8Array => {
    if (bytes === undefined) throw invalid();
    return bytes;
  };
  const lengths = (...each: Uint8Array[]) => {
    if (each.some(({ length }) => length !== 32)) throw invalid();
  };
  return {
    publicKey(scalar) {
      lengths(scalar);
      return checked(library.publicKey(scalar));
    },
    signRecoverable(scalar, hash) {
      lengths(scalar, hash);
      return checked(library.signRecoverable(scalar, reduceHash(hash)));
    },
    verifyCompact(publicKey, hash, signature) {
      // the key is judged first, the signature after it: callers are told of one fault
      if (!hasPointForm(publicKey)) throw notAPoint();
      const whole = signature.length === 64 ? signature : new Uint8Array(64);
      const valid = library.verify(publicKey, hash, whole);
      if (valid === undefined && library.verify(publicKey, hash, new Uint8Array(64)) === undefined) throw notAPoint();
      checkCompactSignature(signature);
      return valid === true;
    },
  };
}

const invalid = () => new DstackError('KEY_INVALID', 'the key is not a valid secp256k1 scalar');

/** Scalar and hash of 32 equal bytes, and what comes of them: computed with noble, OpenSSL agrees on the point. */
const KNOWN = {
  scalar: new Uint8Array(32).fill(7),
  hash: new Uint8Array(32).fill(9),
  publicKey: '02989c0b76cb563971fdc9bef31ec06c3560f3249d6ee9e5d83c57625596e05f6f',
  signature:
    '7157050929571a762ab6e06207f74db146f165fead17acc7afe23000a091dc377b5faa50c021f3f9613f20531b8fc1a38744203a2f391c15e7b1455c3a296e4e00',
};

/** A library of another layout or one that chooses nonces in its own way would answer something else. */
function isRight(library: LibSecp256k1): boolean {
  const hex = (bytes: Uint8Array | undefined) => toHex(bytes ?? new Uint8Array());
  const compact = fromHex(KNOWN.signature).subarray(0, 64);
  return (
    hex(library.publicKey(KNOWN.scalar)) === KNOWN.publicKey &&
    hex(library.signRecoverable(KNOWN.scalar, KNOWN.hash)) === KNOWN.signature &&
    library.verify(fromHex(KNOWN.publicKey), KNOWN.hash, compact) === true &&
    library.verify(fromHex(KNOWN.publicKey), KNOWN.scalar, compact) === false
  );
}
