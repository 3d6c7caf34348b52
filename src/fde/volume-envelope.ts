/** The first 4096 bytes of a volume disk, which say what it is (dstack boot order, verity volumes). Host-written. */

export const ENVELOPE_SIZE = 4096;
const MAGIC = 'DSTACK_VOLUME\0\0\0';
const KIND_VERITY = 1;
const ROOT_AT = 20;
const ROOT_SIZE = 32;

export type Envelope =
  /** `root` is only an advertisement, 32 bytes: the root hash that counts comes from app-compose.json */
  { readonly kind: 'verity'; readonly root: Uint8Array } | { readonly kind: 'other'; readonly number: number };

/**
 * Parses an envelope: 16-byte magic, kind (u32 little-endian), 32-byte root hash, zeros.
 * @returns undefined when the bytes are not a well-formed envelope
 */
export function parseEnvelope(bytes: Uint8Array): Envelope | undefined {
  if (bytes.length < ENVELOPE_SIZE) return undefined;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, ENVELOPE_SIZE);
  if (view.toString('latin1', 0, MAGIC.length) !== MAGIC) return undefined;
  const number = view.readUInt32LE(MAGIC.length);
  if (number !== KIND_VERITY) return { kind: 'other', number };
  if (view.subarray(ROOT_AT + ROOT_SIZE).some((byte) => byte !== 0)) return undefined;
  return { kind: 'verity', root: new Uint8Array(view.subarray(ROOT_AT, ROOT_AT + ROOT_SIZE)) };
}
