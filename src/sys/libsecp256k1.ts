/**
 * Debian's libsecp256k1 through `bun:ffi`: constant time, and ten times as fast as BigInt. Loaded only from where Debian
 * puts it, which in the guest is the measured root, never by a search path. Source: secp256k1.h, secp256k1_recovery.h.
 */
import { randomBytes } from 'node:crypto';

export interface LibSecp256k1 {
  /** The compressed point (33 bytes) of a scalar (32 bytes); undefined unless the scalar is in [1, n-1]. */
  publicKey(scalar: Uint8Array): Uint8Array | undefined;
  /** r | s | recovery id (65 bytes) over a hash (32 bytes): nonce of RFC 6979, low S; undefined for a bad scalar. */
  signRecoverable(scalar: Uint8Array, hash: Uint8Array): Uint8Array | undefined;
  /**
   * Whether r | s (64 bytes) is the low-S signature over a hash (32 bytes); undefined for a public key (33 or 65 bytes, SEC 1)
   * that is not a point, or r or s that is not below the order.
   */
  verify(publicKey: Uint8Array, hash: Uint8Array, signature: Uint8Array): boolean | undefined;
}

/** bookworm's package libsecp256k1-1 has the second; the functions are the same in both. */
const FILES = ['/usr/lib/x86_64-linux-gnu/libsecp256k1.so.2', '/usr/lib/x86_64-linux-gnu/libsecp256k1.so.1'];

const CONTEXT_NONE = 1;
const EC_COMPRESSED = 258;

/** @returns undefined where the library is not installed, lacks what we need, or this is not Bun */
export async function openLibSecp256k1(files: readonly string[] = FILES): Promise<LibSecp256k1 | undefined> {
  if (!('Bun' in globalThis)) return undefined;
  for (const file of files) {
    try {
      return await open(file);
    } catch {
      // the next one; the caller has an implementation of its own
    }
  }
  return undefined;
}

async function open(file: string): Promise<LibSecp256k1> {
  const { dlopen } = await import('bun:ffi');
  const { symbols } = dlopen(file, {
    secp256k1_context_create: { args: ['u32'], returns: 'ptr' },
    secp256k1_context_randomize: { args: ['ptr', 'ptr'], returns: 'i32' },
    secp256k1_ec_pubkey_create: { args: ['ptr', 'ptr', 'ptr'], returns: 'i32' },
    secp256k1_ec_pubkey_serialize: { args: ['ptr', 'ptr', 'ptr', 'ptr', 'u32'], returns: 'i32' },
    secp256k1_ecdsa_sign_recoverable: { args: ['ptr', 'ptr', 'ptr', 'ptr', 'ptr', 'ptr'], returns: 'i32' },
    secp256k1_ecdsa_recoverable_signature_serialize_compact: { args: ['ptr', 'ptr', 'ptr', 'ptr'], returns: 'i32' },
    secp256k1_ec_pubkey_parse: { args: ['ptr', 'ptr', 'ptr', 'u64'], returns: 'i32' },
    secp256k1_ecdsa_signature_parse_compact: { args: ['ptr', 'ptr', 'ptr'], returns: 'i32' },
    secp256k1_ecdsa_verify: { args: ['ptr', 'ptr', 'ptr', 'ptr'], returns: 'i32' },
  });
  const context = symbols.secp256k1_context_create(CONTEXT_NONE);
  if (context === null) throw new Error('no context');
  // blinds the multiplications against side channels; no result depends on it
  if (symbols.secp256k1_context_randomize(context, randomBytes(32)) !== 1) throw new Error('no blinding');
  // opaque structures of the library: nothing secret is in them
  const [point, signature] = [new Uint8Array(64), new Uint8Array(65)];
  const [length, recovery] = [new BigUint64Array(1), new Int32Array(1)];
  return {
    publicKey(scalar) {
      expectLength(scalar, 32);
      if (symbols.secp256k1_ec_pubkey_create(context, point, scalar) !== 1) return undefined;
      const out = new Uint8Array(33);
      length[0] = BigInt(out.length);
      symbols.secp256k1_ec_pubkey_serialize(context, out, length, point, EC_COMPRESSED);
      return out;
    },
    signRecoverable(scalar, hash) {
      expectLength(scalar, 32);
      expectLength(hash, 32);
      if (symbols.secp256k1_ecdsa_sign_recoverable(context, signature, hash, scalar, null, null) !== 1)
        return undefined;
      const out = new Uint8Array(65);
      symbols.secp256k1_ecdsa_recoverable_signature_serialize_compact(context, out, recovery, signature);
      out[64] = recovery[0]!;
      return out;
    },
    verify(publicKey, hash, compact) {
      expectLength(publicKey, publicKey.length === 65 ? 65 : 33);
      expectLength(hash, 32);
      expectLength(compact, 64);
      if (symbols.secp256k1_ec_pubkey_parse(context, point, publicKey, publicKey.length) !== 1) return undefined;
      if (symbols.secp256k1_ecdsa_signature_parse_compact(context, signature, compact) !== 1) return undefined;
      return symbols.secp256k1_ecdsa_verify(context, signature, hash, point) === 1;
    },
  };
}

/** The library reads so many bytes from where it is told to, whatever is there. */
function expectLength(bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) throw new RangeError(`${length} bytes are needed, not ${bytes.length}`);
}
