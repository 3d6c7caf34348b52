/** What both makings of this room offer. */

export type HashName = 'sha256' | 'sha384' | 'sha512';

/** A hash that takes its bytes in pieces. */
export interface Hasher {
  update(bytes: Uint8Array): Hasher;
  /** 32, 48 or 64 bytes; once */
  digest(): Uint8Array;
}

export interface VerifyingKey {
  /**
   * True if the key signed the bytes.
   * @param signature r | s, 64 bytes; anything else is not a signature
   */
  verify(bytes: Uint8Array, signature: Uint8Array): boolean;
}
