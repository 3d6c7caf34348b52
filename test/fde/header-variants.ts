/**
 * Every value of a LUKS2 header in its odd forms, made from a real header with its checksums repaired: lengths, types,
 * encodings, signs, sizes. Nothing is said here about what is right: the real cryptsetup judges (header-judge.ts).
 */
import { jsonText, seal, withText } from './header-corpus.ts';
import { formsOf, STRANGERS } from './header-forms.ts';

export interface Variant {
  /** dotted name of the value and what was done to it */
  readonly name: string;
  readonly bytes: Uint8Array;
}

type Path = readonly string[];
type Copies = readonly (0 | 1)[];

const BOTH: Copies = [0, 1];
const JSON_AT = 4096;
const q = (value: unknown): string => JSON.stringify(value);

/** All values of a document, objects before their members. */
function* values(value: unknown, path: Path = []): Generator<[Path, unknown]> {
  if (path.length > 0) yield [path, value];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
  for (const [name, member] of Object.entries(value)) yield* values(member, [...path, name]);
}

/** Writes a document with other text in place of one value. */
function rewrite(value: unknown, path: Path, text: string | undefined): string | undefined {
  const [name, ...rest] = path;
  if (name === undefined) return text;
  const members = Object.entries(value as Record<string, unknown>).flatMap(([key, member]) => {
    const inner = key === name ? rewrite(member, rest, text) : q(member);
    return inner === undefined ? [] : [`${q(key)}:${inner}`];
  });
  return `{${members.join(',')}}`;
}

function jsonVariants(good: Uint8Array): Variant[] {
  const document: unknown = JSON.parse(jsonText(good));
  return [...values(document)].flatMap(([path, value]) =>
    [...STRANGERS, ...formsOf(path, value)]
      .map(([how, text]): [string, string] => [how, rewrite(document, path, text) ?? ''])
      .filter(([, text]) => text !== JSON.stringify(document))
      .map(([how, text]) => ({ name: `${path.join('.')}: ${how}`, bytes: withText(good, text) })),
  );
}

/** A value twice: json-c takes the last one. */
function duplicates(good: Uint8Array): Variant[] {
  const text = jsonText(good);
  const twice: [string, string, string][] = [
    ['digest', '"digest":', '"digest":"","digest":'],
    ['the last digest', '"}},"config"', '","digest":""}},"config"'],
    ['iterations', '"iterations":', '"iterations":1,"iterations":'],
    ['digests', '"digests":', '"digests":{},"digests":'],
    ['an escaped name', '"digest":', '"\\u0064igest":"","digest":'],
    ['a name with NUL', '"digest":', '"digest\\u0000":"","digest":'],
  ];
  return twice.map(([what, from, to]) => ({ name: `twice: ${what}`, bytes: withText(good, text.replace(from, to)) }));
}

function textVariants(good: Uint8Array, size: number): Variant[] {
  const text = jsonText(good);
  const room = size - JSON_AT;
  const all: [string, string][] = [
    ['white space', JSON.stringify(JSON.parse(text), null, 2)],
    ['white space in front', ` \t\r\n${text}`],
    ['white space to the last byte', text.padEnd(room)],
    ['white space to the last byte but one', text.padEnd(room - 1)],
    ['another document behind NUL', `${text}\0{"keyslots":{}}`],
    ['a byte order mark', `\ufeff${text}`],
    ['text behind', `${text}x`],
    ['empty', ''],
  ];
  return all.map(([what, form]) => ({ name: `JSON area: ${what}`, bytes: withText(good, form) }));
}

const number64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
};
const field = (length: number, text: string): Buffer => Buffer.from(text.padEnd(length, '\0'), 'latin1');

function binaryVariants(good: Uint8Array, size: number): Variant[] {
  const uuid = Buffer.from(good.subarray(168, 204)).toString('latin1');
  const fields: [string, number, Uint8Array, Copies?][] = [
    ...[0n, 1n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n].map((n): [string, number, Buffer] => [
      `seqid: ${n}`,
      16,
      number64(n),
    ]),
    ['seqid: larger in copy 0', 16, number64(99n), [0]],
    ['seqid: larger in copy 1', 16, number64(99n), [1]],
    ['label: text', 24, field(48, 'data')],
    ['label: full', 24, field(48, 'x'.repeat(48))],
    ['subsystem: text', 208, field(48, 'data')],
    ...['', 'sha1', 'sha512', 'md5', 'crc32', 'SHA256', 'sha-256', 'sha256 ', 'sha256\0x', 'x'.repeat(32)].map(
      (name): [string, number, Buffer] => [`csum_alg: ${q(name)}`, 72, field(32, name)],
    ),
    ['salt: zeros', 104, Buffer.alloc(64)],
    ['salt: as in copy 0', 104, good.subarray(104, 168), [1]],
    ...[
      '',
      ' ',
      uuid.toUpperCase(),
      `${uuid}x`,
      `${uuid}\0x`,
      'x'.repeat(40),
      '../../etc',
      'a\nb',
      '\xff'.repeat(40),
    ].map((text): [string, number, Buffer] => [`uuid: ${q(text)}`, 168, field(40, text)]),
    ['uuid: other in copy 1', 168, field(40, uuid.replaceAll(/[0-9]/g, '7')), [1]],
    ...[0n, 1n, 4096n, 2n ** 63n].map((n): [string, number, Buffer] => [`hdr_offset: ${n}`, 256, number64(n)]),
    ...[0n, 4096n, 8192n, 16_383n, 20_480n, 2n ** 63n].map((n): [string, number, Buffer] => [
      `hdr_size: ${n}`,
      8,
      number64(n),
    ]),
    ['padding: not empty', 300, Buffer.of(1)],
    ['second padding: not empty', 4000, Buffer.of(1)],
    ['version: 0', 6, Buffer.of(0, 0)],
    ['version: 1', 6, Buffer.of(0, 1)],
    ['version: 3', 6, Buffer.of(0, 3)],
  ];
  return fields.map(([name, at, value, copies = BOTH]) => {
    const out = Buffer.from(good);
    for (const copy of copies) out.set(value, copy * size + at);
    return { name, bytes: seal(out, size) };
  });
}

function checksumVariants(good: Uint8Array, size: number): Variant[] {
  const spoil = (name: string, at: number, copies: Copies): Variant => {
    const out = Buffer.from(good);
    for (const copy of copies) out[copy * size + at]! ^= 1;
    return { name: `csum: ${name}`, bytes: out };
  };
  return [
    spoil('wrong in both copies', 448, BOTH),
    spoil('wrong in copy 0', 448, [0]),
    spoil('wrong in copy 1', 448, [1]),
    spoil('a tail', 448 + 32, BOTH),
  ];
}

/** Makes copies of another size, with the key slot behind them and everything said right. */
function resized(good: Uint8Array, size: number, to: number): Buffer {
  const slotAt = 2 * size;
  const tree = JSON.parse(jsonText(good)) as ReturnType<typeof JSON.parse>;
  tree.keyslots['0'].area.offset = String(2 * to);
  tree.config.json_size = String(to - JSON_AT);
  const out = Buffer.alloc(2 * to + good.length - slotAt);
  for (const copy of BOTH) {
    Buffer.from(good.subarray(copy * size, copy * size + JSON_AT)).copy(out, copy * to);
    out.writeBigUInt64BE(BigInt(to), copy * to + 8);
    out.writeBigUInt64BE(BigInt(copy * to), copy * to + 256);
    out.write(JSON.stringify(tree), copy * to + JSON_AT);
  }
  Buffer.from(good.subarray(slotAt)).copy(out, 2 * to);
  return seal(out, to);
}

const SIZES = [8192, 20_480, 32_768, 1_048_576, 4_194_304, 8_388_608];

/**
 * A third copy, behind the text of copy 0, at a place where cryptsetup looks for the second one when it cannot read the
 * first. Its digest is empty, so that any key opens it; the checksum of copy 0 sends cryptsetup there.
 */
function hidden(good: Uint8Array, size: number): Variant {
  const at = size;
  const out = resized(good, size, 4 * size);
  const third = withText(resized(good, size, size), jsonText(out).replace(/"digest":"[^"]*"/, '"digest":""'), [1]);
  const copy = third.subarray(size, 2 * size);
  const tree = JSON.parse(jsonText(third, 1)) as ReturnType<typeof JSON.parse>;
  tree.config = { json_size: String(size - JSON_AT), keyslots_size: '1048576' };
  withText(third, JSON.stringify(tree), [1])
    .subarray(size, 2 * size)
    .copy(copy);
  copy.copy(out, at);
  seal(out, 4 * size);
  out[448]! ^= 1;
  return { name: 'csum: wrong in copy 0, with a third copy inside it', bytes: out };
}

/** @param good both copies and the key slot of a real header, as it stands on the disk */
export function variants(good: Uint8Array): Variant[] {
  const size = Number(Buffer.from(good).readBigUInt64BE(8));
  return [
    ...jsonVariants(good),
    ...duplicates(good),
    ...textVariants(good, size),
    ...binaryVariants(good, size),
    ...checksumVariants(good, size),
    ...SIZES.map((to) => ({ name: `copies of ${to} bytes`, bytes: resized(good, size, to) })),
    hidden(good, size),
  ];
}
