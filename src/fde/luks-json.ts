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
  readonly any: 'integer' | 'decimal' | 'text';
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
      key_size: is(64),
      af: object({ type: is('luks1'), stripes: is(4000), hash: is('sha256') }),
      area: object({
        type: is('raw'),
        offset: any('decimal'),
        size: any('decimal'),
        encryption: is(CIPHER),
        key_size: is(64),
      }),
      kdf: object({ type: is('pbkdf2'), hash: is('sha256'), iterations: any('integer'), salt: any('text') }),
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
      iterations: any('integer'),
      salt: any('text'),
      digest: any('text'),
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
  let document: unknown;
  try {
    document = parseStrictJson(utf8(bytes, 'luks header'));
  } catch (thrown) {
    return reject('json', `${bytes.length} bytes`, `is refused: ${errorChain(thrown)}`);
  }
  check({ document } as JsonObject, 'document', '', FORM, reject);

  const area = dig(document, 'keyslots', '0', 'area');
  const offset = BigInt(area['offset'] as string);
  const size = BigInt(area['size'] as string);
  if (offset < 2n * BigInt(headerSize)) {
    reject('keyslots.0.area.offset', area['offset'], `lies inside the header copies, which end at ${2 * headerSize}`);
  }
  if (offset + size > BigInt(PAYLOAD_OFFSET)) {
    reject('keyslots.0.area.size', area['size'], `lets the area reach into the payload at ${PAYLOAD_OFFSET}`);
  }
  const iterations = dig(document, 'keyslots', '0', 'kdf')['iterations'] as number;
  return { keyslotOffset: Number(offset), keyslotSize: Number(size), iterations };
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
      rule.any === 'text'
        ? typeof value === 'string'
        : rule.any === 'decimal'
          ? typeof value === 'string' && DECIMAL.test(value)
          : isIntegerLiteral(container, key) && (value as number) > 0;
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
  integer: 'is not a positive whole number',
  decimal: 'is not a decimal number written as a string',
  text: 'is not a string',
} as const;

function dig(value: unknown, ...path: string[]): JsonObject {
  return path.reduce((at, name) => at[name] as JsonObject, value as JsonObject);
}
