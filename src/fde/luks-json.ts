/**
 * The JSON area of a LUKS2 header against the one form this program accepts. The form is written down as data: every
 * member of it must be there and no other may be, so a token, a flag, a second slot or segment and any member that a
 * future cryptsetup may give a meaning are all refused by the same rule.
 */
import { isIntegerLiteral, isObject, type JsonObject, parseStrictJson } from '../config/strict-json.ts';
import { errorChain } from '../errors.ts';
import { utf8 } from '../sys/files.ts';

/** The encrypted payload starts here: 32768 sectors of 512 bytes. The header must not reach beyond it. */
export const PAYLOAD_OFFSET = 16 * 1024 * 1024;
/** The binary part of each copy, in front of its JSON area. */
export const BINARY_SIZE = 4096;

/** cryptsetup places and sizes all areas in multiples of this. */
const ALIGNMENT = 4096n;
/** Bytes of salts and digest: what cryptsetup writes for SHA-256, and the only length for which it compares a digest. */
const HASH_SIZE = 32;
/** PBKDF2 iterations: the smallest count cryptsetup makes, and one that takes seconds. 2^31 takes longer than any boot. */
const MIN_ITERATIONS = 1000;
const MAX_ITERATIONS = 10_000_000;
const KEY_SIZE = 64;
const STRIPES = 4000;

export interface LuksJsonFacts {
  /** the only key slot's place on the disk, bytes */
  readonly keyslotOffset: number;
  readonly keyslotSize: number;
  /** PBKDF2 iterations of the key slot */
  readonly iterations: number;
}

/** Reports a broken rule; does not return. `value` undefined means that the member is missing. */
export type Reject = (field: string, value: unknown, why: string) => never;

/** What a member must be: a fixed value, one of the free kinds, or an object with exactly these members. */
type Rule = Exact | Free | Members;
interface Exact {
  readonly is: string | number | readonly string[];
}
interface Free {
  readonly any: 'count' | 'decimal' | 'hash';
}
interface Members {
  readonly members: Readonly<Record<string, Rule>>;
}

const is = (value: Exact['is']): Exact => ({ is: value });
const any = (kind: Free['any']): Free => ({ any: kind });
const object = (members: Members['members']): Members => ({ members });

const CIPHER = 'aes-xts-plain64';

const FORM = object({
  keyslots: object({
    '0': object({
      type: is('luks2'),
      key_size: is(KEY_SIZE),
      af: object({ type: is('luks1'), stripes: is(STRIPES), hash: is('sha256') }),
      area: object({
        type: is('raw'),
        offset: any('decimal'),
        size: any('decimal'),
        encryption: is(CIPHER),
        key_size: is(KEY_SIZE),
      }),
      kdf: object({ type: is('pbkdf2'), hash: is('sha256'), iterations: any('count'), salt: any('hash') }),
    }),
  }),
  tokens: object({}),
  segments: object({
    '0': object({
      type: is('crypt'),
      offset: is(String(PAYLOAD_OFFSET)),
      size: is('dynamic'),
      iv_tweak: is('0'),
      encryption: is(CIPHER),
      sector_size: is(512),
    }),
  }),
  digests: object({
    '0': object({
      type: is('pbkdf2'),
      keyslots: is(['0']),
      segments: is(['0']),
      hash: is('sha256'),
      iterations: any('count'),
      salt: any('hash'),
      digest: any('hash'),
    }),
  }),
  config: object({ json_size: any('decimal'), keyslots_size: any('decimal') }),
});

/** Numbers of 64 bits are decimal strings in LUKS2; cryptsetup reads leading zeros and signs, the format knows none. */
const DECIMAL = /^(0|[1-9][0-9]{0,19})$/;

/**
 * Checks the JSON text of one copy (bytes up to the first NUL).
 * @param headerSize size of one copy: the key slot area lies behind both
 */
export function checkLuksJson(bytes: Uint8Array, headerSize: number, reject: Reject): LuksJsonFacts {
  // cryptsetup wants it so, white space included
  if (bytes[0] !== '{'.charCodeAt(0)) reject('json', `${bytes.length} bytes`, 'does not begin with an object');
  let document: unknown;
  try {
    document = parseStrictJson(utf8(bytes, 'luks header'));
  } catch (thrown) {
    return reject('json', `${bytes.length} bytes`, `is refused: ${errorChain(thrown)}`);
  }
  check({ document } as JsonObject, 'document', '', FORM, reject);

  const { offset, size } = checkPlaces(document, headerSize, reject);
  const iterations = dig(document, 'keyslots', '0', 'kdf')['iterations'] as number;
  return { keyslotOffset: Number(offset), keyslotSize: Number(size), iterations };
}

/**
 * Places and sizes that are free, against each other and against the size of the copies: both copies, then the area of
 * the key slots, then the payload, and the one key slot inside its area with room for all of its material.
 */
function checkPlaces(document: unknown, headerSize: number, reject: Reject): { offset: bigint; size: bigint } {
  const area = dig(document, 'keyslots', '0', 'area');
  const config = dig(document, 'config');
  const [offset, size] = [BigInt(area['offset'] as string), BigInt(area['size'] as string)];
  const [json, slots] = [BigInt(config['json_size'] as string), BigInt(config['keyslots_size'] as string)];
  const copies = 2n * BigInt(headerSize);
  const refuse = (field: string, value: bigint, why: string): never => reject(field, String(value), why);

  if (json !== BigInt(headerSize - BINARY_SIZE)) {
    refuse('config.json_size', json, `is not ${headerSize - BINARY_SIZE}, the size of the JSON area`);
  }
  if (slots % ALIGNMENT !== 0n) refuse('config.keyslots_size', slots, `is not a multiple of ${ALIGNMENT}`);
  if (copies + slots > PAYLOAD_OFFSET) {
    refuse('config.keyslots_size', slots, `reaches into the payload at ${PAYLOAD_OFFSET}`);
  }
  if (offset < copies) {
    refuse('keyslots.0.area.offset', offset, `lies inside the header copies, which end at ${copies}`);
  }
  if (offset % ALIGNMENT !== 0n) refuse('keyslots.0.area.offset', offset, `is not a multiple of ${ALIGNMENT}`);
  if (size % ALIGNMENT !== 0n) refuse('keyslots.0.area.size', size, `is not a multiple of ${ALIGNMENT}`);
  if (size < KEY_SIZE * STRIPES) {
    refuse('keyslots.0.area.size', size, `has no room for ${STRIPES} stripes of ${KEY_SIZE} bytes`);
  }
  if (offset + size > copies + slots) {
    refuse('keyslots.0.area.size', size, `lets the area reach beyond the key slots, which end at ${copies + slots}`);
  }
  return { offset, size };
}

/** Checks `container[key]` against its rule; `path` is the dotted name of the container. */
function check(container: JsonObject, key: string, path: string, rule: Rule, reject: Reject): void {
  const value = container[key];
  if ('members' in rule) {
    if (!isObject(value)) reject(path, value, 'is not an object');
    const prefix = path === '' ? '' : `${path}.`;
    for (const name of Object.keys(value)) {
      if (!Object.hasOwn(rule.members, name)) reject(`${prefix}${name}`, value[name], 'is not allowed');
    }
    for (const [name, member] of Object.entries(rule.members)) {
      if (!Object.hasOwn(value, name)) reject(`${prefix}${name}`, undefined, 'is missing');
      check(value, name, `${prefix}${name}`, member, reject);
    }
  } else if ('any' in rule) {
    const good =
      rule.any === 'count'
        ? isIntegerLiteral(container, key) && (value as number) >= MIN_ITERATIONS && (value as number) <= MAX_ITERATIONS
        : typeof value === 'string' && (rule.any === 'decimal' ? DECIMAL.test(value) : isHash(value));
    if (!good) reject(path, value, KIND[rule.any]);
  } else if (Array.isArray(rule.is)) {
    const same = Array.isArray(value) && value.length === rule.is.length && rule.is.every((x, i) => value[i] === x);
    if (!same) reject(path, value, `is not ${JSON.stringify(rule.is)}`);
  } else {
    const same = value === rule.is && (typeof value !== 'number' || isIntegerLiteral(container, key));
    if (!same) reject(path, value, `is not ${JSON.stringify(rule.is)}`);
  }
}

const KIND = {
  count: `is not a whole number between ${MIN_ITERATIONS} and ${MAX_ITERATIONS}`,
  decimal: 'is not a decimal number written as a string',
  hash: `is not ${HASH_SIZE} bytes in base64`,
} as const;

/**
 * Base64 in the one form cryptsetup writes (padded, no white space, unused bits zero). A digest or its salt of another
 * length makes cryptsetup skip the comparison and take any key for the right one.
 */
function isHash(text: string): boolean {
  const bytes = Buffer.from(text, 'base64');
  return bytes.length === HASH_SIZE && bytes.toString('base64') === text;
}

function dig(value: unknown, ...path: string[]): JsonObject {
  return path.reduce((at, name) => at[name] as JsonObject, value as JsonObject);
}
