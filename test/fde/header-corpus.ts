/**
 * Bent LUKS2 headers, made from a real one: each changes one thing in one or both copies and repairs the checksums, so
 * that cryptsetup itself would read it (LUKS2 On-Disk Format Specification 1.1, section 2).
 */
import { createHash } from 'node:crypto';

// biome-ignore lint/suspicious/noExplicitAny: a JSON tree that is bent at will
type Tree = any;

export interface Bent {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** the `field` of the expected error */
  readonly rule: string;
}

type Copies = readonly (0 | 1)[];
const BOTH: Copies = [0, 1];
const JSON_AT = 4096;

/** The size of one copy, as copy 0 says it. */
export const copySize = (good: Uint8Array): number => Number(Buffer.from(good).readBigUInt64BE(8));

/** The JSON text of a copy. */
export function jsonText(header: Uint8Array, copy: 0 | 1 = 0): string {
  const size = copySize(header);
  return Buffer.from(header.subarray(copy * size + JSON_AT, (copy + 1) * size))
    .toString('utf8')
    .replace(/\0[\s\S]*$/, '');
}

/** Writes new checksums into both copies. */
export function seal(header: Buffer, size: number): Buffer {
  for (const copy of BOTH) {
    const bytes = header.subarray(copy * size, (copy + 1) * size);
    if (bytes.length < 512) continue;
    bytes.fill(0, 448, 512);
    createHash('sha256').update(bytes).digest().copy(bytes, 448);
  }
  return header;
}

/** A header with another text in its JSON areas. */
export function withText(good: Uint8Array, text: string | Uint8Array, copies: Copies = BOTH): Buffer {
  const out = Buffer.from(good);
  const size = copySize(good);
  for (const copy of copies) {
    const area = out.subarray(copy * size + JSON_AT, (copy + 1) * size).fill(0);
    Buffer.from(text).copy(area);
  }
  return seal(out, size);
}

const binary =
  (at: number, value: string | Uint8Array, copies: Copies = BOTH) =>
  (good: Uint8Array): Buffer => {
    const out = Buffer.from(good);
    for (const copy of copies) Buffer.from(value).copy(out, copy * copySize(good) + at);
    return seal(out, copySize(good));
  };

const u64 = (value: bigint): Uint8Array => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
};

const json =
  (bend: (tree: Tree) => void, copies: Copies = BOTH) =>
  (good: Uint8Array): Buffer => {
    const tree = JSON.parse(jsonText(good)) as Tree;
    bend(tree);
    return withText(good, JSON.stringify(tree), copies);
  };

const text =
  (bend: (text: string) => string | Uint8Array, copies: Copies = BOTH) =>
  (good: Uint8Array): Buffer =>
    withText(good, bend(jsonText(good)), copies);

const slot = (j: Tree): Tree => j.keyslots['0'];
const area = (j: Tree): Tree => slot(j).area;
const kdf = (j: Tree): Tree => slot(j).kdf;
const segment = (j: Tree): Tree => j.segments['0'];
const digest = (j: Tree): Tree => j.digests['0'];
const NULL_CIPHER = 'cipher_null-ecb';
const token = { type: 'luks2-keyring', keyslots: ['0'], key_description: 'known' };
const argon2 = (type: string) => (j: Tree) => {
  slot(j).kdf = { type, time: 4, memory: 1_048_576, cpus: 4, salt: kdf(j).salt };
};

/** A copy whose checksum is wrong: cryptsetup then searches for another one. */
function spoiled(good: Uint8Array, copy: 0 | 1): Buffer {
  const out = Buffer.from(good);
  out[copy * copySize(good) + 448]! ^= 1;
  return out;
}

type Entry = readonly [name: string, rule: string, bend: (good: Uint8Array) => Buffer];

const ENTRIES: readonly Entry[] = [
  // binary header
  ['wrong magic', 'copy 0 magic', binary(0, 'LUKX')],
  ['magic of the second copy in the first', 'copy 0 magic', binary(0, 'SKUL', [0])],
  ['magic of the first copy in the second', 'copy 1 magic', binary(0, 'LUKS', [1])],
  [
    'swapped copies',
    'copy 0 magic',
    (good) => {
      const size = copySize(good);
      return Buffer.concat([good.subarray(size, 2 * size), good.subarray(0, size)]);
    },
  ],
  ['version 1', 'copy 0 version', binary(6, Uint8Array.of(0, 1))],
  ['version 3 in the second copy', 'copy 1 version', binary(6, Uint8Array.of(0, 3), [1])],
  ['version 513', 'copy 0 version', binary(6, Uint8Array.of(2, 1))],
  ['header size 0', 'copy 0 hdr_size', binary(8, u64(0n))],
  ['header size of 64 bits', 'copy 0 hdr_size', binary(8, u64(2n ** 64n - 1n))],
  ['header size beyond the payload', 'copy 0 hdr_size', binary(8, u64(2n ** 24n + 4096n))],
  ['second copy of another size', 'copy 1 hdr_offset', binary(8, u64(32_768n), [1])],
  ['label', 'copy 0 label', binary(24, 'x')],
  ['label behind a NUL', 'copy 0 label', binary(25, 'x')],
  ['label in the second copy', 'copy 1 label', binary(24, 'x', [1])],
  ['subsystem', 'copy 0 subsystem', binary(208, 'x')],
  ['checksum algorithm sha512', 'copy 0 csum_alg', binary(72, 'sha512')],
  ['checksum algorithm sha1', 'copy 0 csum_alg', binary(72, 'sha1\0\0')],
  ['checksum algorithm with a tail', 'copy 0 csum_alg', binary(79, 'x')],
  ['first copy says it lies elsewhere', 'copy 0 hdr_offset', binary(256, u64(16_384n), [0])],
  ['second copy says it lies at 0', 'copy 1 hdr_offset', binary(256, u64(0n), [1])],
  ['truncated in the binary header', 'copy 0 length', (good) => Buffer.from(good.subarray(0, 4000))],
  ['truncated in the second copy', 'copy 1 length', (good) => Buffer.from(good.subarray(0, copySize(good) + 4000))],
  [
    'truncated in the second JSON area',
    'copy 1 length',
    (good) => Buffer.from(good.subarray(0, 2 * copySize(good) - 1)),
  ],
  ['checksum of the first copy', 'copy 0 csum', (good) => spoiled(good, 0)],
  ['checksum of the second copy', 'copy 1 csum', (good) => spoiled(good, 1)],
  ['padding', 'copy 0 padding', binary(300, 'x')],
  ['UUID of any text', 'copy 0 uuid', binary(168, 'x'.repeat(40))],
  // JSON as text
  ['empty JSON area', 'copy 0 json', text(() => '')],
  ['truncated JSON', 'copy 0 json', text((t) => t.slice(0, -20))],
  ['huge JSON: nested arrays', 'copy 0 json', text(() => `${'['.repeat(6000)}${']'.repeat(6000)}`)],
  ['huge JSON: a long member', 'copy 0 extra', text((t) => `${t.slice(0, -1)},"extra":"${'x'.repeat(9000)}"}`)],
  ['JSON without an end', 'copy 0 json', text((t) => `${t.slice(0, -1)},"extra":"${'x'.repeat(20_000)}`)],
  ['array instead of an object', 'copy 0 json', text(() => '[]')],
  ['two documents', 'copy 0 json', text((t) => t + t)],
  ['comment', 'copy 0 json', text((t) => `/**/${t}`)],
  ['trailing comma', 'copy 0 json', text((t) => `${t.slice(0, -1)},}`)],
  ['single quotes', 'copy 0 json', text((t) => t.replaceAll('"', "'"))],
  ['byte order mark', 'copy 0 json', text((t) => `\ufeff${t}`)],
  ['no UTF-8', 'copy 0 json', text((t) => Buffer.from(t.replace('"tokens"', '"\u00ff"'), 'latin1'))],
  [
    'duplicate tokens',
    'copy 0 json',
    text((t) => t.replace('"tokens":{}', `"tokens":{},"tokens":{"0":${JSON.stringify(token)}}`)),
  ],
  [
    'duplicate encryption',
    'copy 0 json',
    text((t) => t.replace('"encryption":"aes', `"encryption":"${NULL_CIPHER}","encryption":"aes`)),
  ],
  [
    'duplicate key, once escaped',
    'copy 0 json',
    text((t) => t.replace('"tokens":{}', '"tokens":{},"\\u0074okens":{}')),
  ],
  ['stripes with a fraction', 'copy 0 keyslots.0.af.stripes', text((t) => t.replace('4000', '4000.0'))],
  ['stripes with an exponent', 'copy 0 keyslots.0.af.stripes', text((t) => t.replace('4000', '4e3'))],
  ['stripes with a leading zero', 'copy 0 json', text((t) => t.replace('4000', '04000'))],
  // unicode tricks
  [
    'full-width digit as key slot',
    'copy 0 keyslots.\uff10',
    text((t) => t.replace('"keyslots":{"0"', '"keyslots":{"\uff10"')),
  ],
  [
    'Cyrillic letter in the cipher',
    'copy 0 segments.0.encryption',
    json((j) => (segment(j).encryption = '\u0430es-xts-plain64')),
  ],
  ['zero-width space in a member name', 'copy 0 tok\u200bens', json((j) => (j['tok\u200bens'] = { '0': token }))],
  [
    'lone surrogate',
    'copy 0 json',
    text((t) => t.replace('"iv_tweak":"0","encryption":"aes', '"iv_tweak":"0","encryption":"\\ud800aes')),
  ],
  ['NUL in a string', 'copy 0 segments.0.encryption', json((j) => (segment(j).encryption = 'aes-xts-plain64\0'))],
  // key slots
  ['no key slot', 'copy 0 keyslots.0', json((j) => (j.keyslots = {}))],
  [
    'second key slot',
    'copy 0 keyslots.1',
    json((j) => (j.keyslots['1'] = { ...slot(j), area: { ...area(j), offset: '290816' } })),
  ],
  ['key slot 1 alone', 'copy 0 keyslots.1', json((j) => (j.keyslots = { '1': slot(j) }))],
  ['key slots as array', 'copy 0 keyslots', json((j) => (j.keyslots = [slot(j)]))],
  ['slot type reencrypt', 'copy 0 keyslots.0.type', json((j) => (slot(j).type = 'reencrypt'))],
  ['slot priority', 'copy 0 keyslots.0.priority', json((j) => (slot(j).priority = 2))],
  ['slot key of 32 bytes', 'copy 0 keyslots.0.key_size', json((j) => (slot(j).key_size = 32))],
  ['slot key size as string', 'copy 0 keyslots.0.key_size', json((j) => (slot(j).key_size = '64'))],
  ['cipher_null key slot', 'copy 0 keyslots.0.area.encryption', json((j) => (area(j).encryption = NULL_CIPHER))],
  ['area of another type', 'copy 0 keyslots.0.area.type', json((j) => (area(j).type = 'checksum'))],
  ['area offset as number', 'copy 0 keyslots.0.area.offset', json((j) => (area(j).offset = 32_768))],
  ['area moved into the header', 'copy 0 keyslots.0.area.offset', json((j) => (area(j).offset = '4096'))],
  ['area offset 00768', 'copy 0 keyslots.0.area.offset', json((j) => (area(j).offset = '00768'))],
  ['negative area offset', 'copy 0 keyslots.0.area.offset', json((j) => (area(j).offset = '-32768'))],
  ['hexadecimal area offset', 'copy 0 keyslots.0.area.offset', json((j) => (area(j).offset = '0x8000'))],
  ['area over the payload', 'copy 0 keyslots.0.area.size', json((j) => (area(j).offset = '16777216'))],
  ['area that reaches into the payload', 'copy 0 keyslots.0.area.size', json((j) => (area(j).size = '16748544'))],
  ['area size of 64 bits', 'copy 0 keyslots.0.area.size', json((j) => (area(j).size = '18446744073709518848'))],
  ['argon2i', 'copy 0 keyslots.0.kdf.time', json(argon2('argon2i'))],
  ['argon2id', 'copy 0 keyslots.0.kdf.time', json(argon2('argon2id'))],
  ['kdf hash sha1', 'copy 0 keyslots.0.kdf.hash', json((j) => (kdf(j).hash = 'sha1'))],
  ['iterations as string', 'copy 0 keyslots.0.kdf.iterations', json((j) => (kdf(j).iterations = '1000'))],
  ['anti-forensic hash sha1', 'copy 0 keyslots.0.af.hash', json((j) => (slot(j).af.hash = 'sha1'))],
  ['one stripe', 'copy 0 keyslots.0.af.stripes', json((j) => (slot(j).af.stripes = 1))],
  // tokens
  ['token', 'copy 0 tokens.0', json((j) => (j.tokens = { '0': token }))],
  [
    'token that runs a plugin',
    'copy 0 tokens.31',
    json((j) => (j.tokens = { '31': { type: 'ssh', keyslots: ['0'] } })),
  ],
  ['token in the second copy only', 'copy 1 tokens.0', json((j) => (j.tokens = { '0': token }), [1])],
  ['no tokens member', 'copy 0 tokens', json((j) => delete j.tokens)],
  // segments
  ['cipher_null segment', 'copy 0 segments.0.encryption', json((j) => (segment(j).encryption = NULL_CIPHER))],
  [
    'cipher_null in the second copy only',
    'copy 1 segments.0.encryption',
    json((j) => (segment(j).encryption = NULL_CIPHER), [1]),
  ],
  [
    'linear segment',
    'copy 0 segments.0.type',
    json((j) => (j.segments['0'] = { type: 'linear', offset: '16777216', size: 'dynamic' })),
  ],
  [
    'linear segment behind the first',
    'copy 0 segments.1',
    json((j) => (j.segments['1'] = { type: 'linear', offset: '33554432', size: '4096' })),
  ],
  ['segment elsewhere', 'copy 0 segments.0.offset', json((j) => (segment(j).offset = '33554432'))],
  ['segment of fixed size', 'copy 0 segments.0.size', json((j) => (segment(j).size = '16777216'))],
  ['segment size as number', 'copy 0 segments.0.size', json((j) => (segment(j).size = 16_777_216))],
  ['IV tweak', 'copy 0 segments.0.iv_tweak', json((j) => (segment(j).iv_tweak = '1'))],
  ['sectors of 4096 bytes', 'copy 0 segments.0.sector_size', json((j) => (segment(j).sector_size = 4096))],
  [
    'integrity',
    'copy 0 segments.0.integrity',
    json(
      (j) => (segment(j).integrity = { type: 'hmac(sha256)', journal_encryption: 'none', journal_integrity: 'none' }),
    ),
  ],
  ['segment flags', 'copy 0 segments.0.flags', json((j) => (segment(j).flags = ['in-reencryption']))],
  // digests and config
  ['second digest', 'copy 0 digests.1', json((j) => (j.digests['1'] = digest(j)))],
  ['digest of a second slot', 'copy 0 digests.0.keyslots', json((j) => (digest(j).keyslots = ['0', '1']))],
  ['digest of no segment', 'copy 0 digests.0.segments', json((j) => (digest(j).segments = []))],
  ['digest segments as numbers', 'copy 0 digests.0.segments', json((j) => (digest(j).segments = [0]))],
  ['digest hash sha1', 'copy 0 digests.0.hash', json((j) => (digest(j).hash = 'sha1'))],
  ['digest of no length', 'copy 0 digests.0.digest', json((j) => (digest(j).digest = ''))],
  ['salt of the digest of another length', 'copy 0 digests.0.salt', json((j) => (digest(j).salt = 'AAAA'))],
  ['2^31 iterations', 'copy 0 keyslots.0.kdf.iterations', json((j) => (kdf(j).iterations = 2 ** 31))],
  ['config flags', 'copy 0 config.flags', json((j) => (j.config.flags = ['allow-discards', 'no-read-workqueue']))],
  [
    'requirements',
    'copy 0 config.requirements',
    json((j) => (j.config.requirements = { mandatory: ['online-reencrypt-v2'] })),
  ],
  ['requirements as array', 'copy 0 config.requirements', json((j) => (j.config.requirements = []))],
  ['unknown member at the top', 'copy 0 extensions', json((j) => (j.extensions = {}))],
  [
    'unknown member in the segment',
    'copy 0 segments.0.opal_segment_number',
    json((j) => (segment(j).opal_segment_number = 1)),
  ],
  ['prototype as member', 'copy 0 config.__proto__', text((t) => t.replace('"config":{', '"config":{"__proto__":{},'))],
];

/** All bent headers. */
export const corpus = (good: Uint8Array): Bent[] =>
  ENTRIES.map(([name, rule, bend]) => ({ name, rule, bytes: Uint8Array.from(bend(good)) }));

/** One of them. */
export function bentHeader(name: string, good: Uint8Array): Bent {
  const found = corpus(good).find((entry) => entry.name === name);
  if (found === undefined) throw new Error(`no bent header is named ${name}`);
  return found;
}
