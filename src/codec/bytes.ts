/** Byte helpers that mean the same for Uint8Array and for Node's Buffer, which is one but overrides some methods. */

/** A copy of bytes [start, end). `Buffer.prototype.slice` would give a view on the same memory instead. */
export function cut(bytes: Uint8Array, start = 0, end: number = bytes.length): Uint8Array {
  return new Uint8Array(bytes.subarray(start, end));
}

/** No bytes. */
export const EMPTY_BYTES = new Uint8Array(0);

/** All parts in one new array. */
export const concat = (...parts: readonly Uint8Array[]): Uint8Array => joinBytes(parts);

/** The same for a list of any length. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** True if both hold the same bytes. Not for secrets: it stops at the first difference. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

/** Below, above or 0, in the order of unsigned bytes; what is a beginning of the other comes first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const end = Math.min(a.length, b.length);
  for (let at = 0; at < end; at++) {
    const difference = (a[at] as number) - (b[at] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** As `sameBytes`, in a time that depends on the length alone. */
export function sameSecret(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let at = 0; at < a.length; at++) difference |= (a[at] as number) ^ (b[at] ?? 0);
  return difference === 0;
}
