import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DstackError } from '../../src/errors.ts';
import { checkLuksHeader } from '../../src/fde/luks-header.ts';
import { buildHeader, type GoodJson, goodJson, type HeaderParts } from './header-builder.ts';
import { corpus, jsonText, seal, withText } from './header-corpus.ts';

function verdict(bytes: Uint8Array): DstackError | undefined {
  try {
    checkLuksHeader(bytes);
    return undefined;
  } catch (thrown) {
    if (thrown instanceof DstackError) return thrown;
    throw thrown;
  }
}

const base64 = (length: number): string => Buffer.alloc(length, 0xa4).toString('base64');

/** A good header whose JSON (of both copies) was changed by `bend`. */
function bent(bend: (json: GoodJson) => void): Uint8Array {
  const json = goodJson();
  bend(json);
  return buildHeader({ json });
}

describe('checkLuksHeader', () => {
  it('accepts what cryptsetup writes for our parameters and tells the facts', () => {
    expect(checkLuksHeader(buildHeader())).toEqual({
      headerSize: 16_384,
      uuid: '37230443-192d-49f8-98c1-9964a91f8a1f',
      sequence: 3n,
      keyslotOffset: 32_768,
      keyslotSize: 258_048,
      iterations: 1000,
    });
  });

  it('accepts other header sizes and more iterations, which the reference benchmarks', () => {
    for (const headerSize of [32_768, 65_536, 4_194_304]) {
      const json = goodJson();
      json.keyslots['0'].area.offset = String(2 * headerSize);
      json.config = { json_size: String(headerSize - 4096), keyslots_size: '4194304' };
      json.keyslots['0'].kdf.iterations = 4_194_304;
      expect(verdict(buildHeader({ headerSize, json }))).toBeUndefined();
    }
  });

  const binary: [string, HeaderParts, string][] = [
    ['another magic in copy 0', { magic: ['534b554cbabe', '534b554cbabe'] }, 'copy 0 magic'],
    ['another magic in copy 1', { magic: ['4c554b53babe', '4c554b53babe'] }, 'copy 1 magic'],
    ['version 1', { version: 1 }, 'copy 0 version'],
    ['version 3', { version: 3 }, 'copy 0 version'],
    ['a label', { label: 'x' }, 'copy 0 label'],
    ['a subsystem', { subsystem: 'x' }, 'copy 0 subsystem'],
    ['another checksum algorithm', { checksum: 'sha512' }, 'copy 0 csum_alg'],
    ['a checksum algorithm with a tail', { checksum: 'sha256\0x' }, 'copy 0 csum_alg'],
    ['a moved copy 0', { offsetShift: { copy: 0, by: 16_384n } }, 'copy 0 hdr_offset'],
    ['a moved copy 1', { offsetShift: { copy: 1, by: 16_384n } }, 'copy 1 hdr_offset'],
    ['another size of copy 1', { secondSize: 32_768 }, 'copy 1 hdr_offset'],
    ['a size of copy 1 that no header has', { secondSize: 8192 }, 'copy 1 hdr_size'],
    ['a UUID in capital letters', { uuid: '37230443-192D-49F8-98C1-9964A91F8A1F' }, 'copy 0 uuid'],
    ['a UUID with a tail', { uuid: '37230443-192d-49f8-98c1-9964a91f8a1f\0x' }, 'copy 0 uuid'],
    ['no UUID', { uuid: '' }, 'copy 0 uuid'],
    ['white space in front of the JSON', { json: ` ${JSON.stringify(goodJson())}` }, 'copy 0 json'],
    ['something behind the JSON', { json: `${JSON.stringify(goodJson())}\0{"keyslots":` }, 'copy 0 json'],
    ['JSON up to the last byte', { json: JSON.stringify(goodJson()).padEnd(12_288) }, 'copy 0 json'],
    [
      'JSON in copy 1 that is written in another way',
      { secondJson: ` ${JSON.stringify(goodJson())}`.trim().replace(':', ': ') },
      'copy 1 json',
    ],
  ];
  it.each(binary)('rejects %s', (_, parts, field) => {
    const error = verdict(buildHeader(parts));
    expect(error?.code).toBe('LUKS_HEADER_REJECTED');
    expect(error?.field).toBe(field);
  });

  it('rejects header sizes out of bounds before it uses them', () => {
    for (const size of [0n, 4095n, 8192n, 16_385n, 8_388_608n, 16_777_217n, 2n ** 63n, 2n ** 64n - 1n]) {
      const bytes = buildHeader();
      new DataView(bytes.buffer).setBigUint64(8, size);
      expect(verdict(bytes)?.field).toBe('copy 0 hdr_size');
    }
  });

  it('rejects a header that ends early, at every length', () => {
    const bytes = buildHeader();
    for (const length of [0, 6, 4095, 4096, 16_383, 16_384, 20_479, 32_767]) {
      expect(verdict(bytes.subarray(0, length))?.code).toBe('LUKS_HEADER_REJECTED');
    }
  });

  const slot = (json: GoodJson) => json.keyslots['0'];
  const segment = (json: GoodJson) => json.segments['0'];
  const digest = (json: GoodJson) => json.digests['0'];
  const json: [string, (json: GoodJson) => void, string][] = [
    ['no key slot', (j) => delete j.keyslots['0'], 'keyslots.0'],
    ['a second key slot', (j) => (j.keyslots['1'] = slot(j)), 'keyslots.1'],
    ['a slot under another number', (j) => (j.keyslots = { '1': slot(j) }), 'keyslots.1'],
    ['another slot type', (j) => (slot(j).type = 'reencrypt'), 'keyslots.0.type'],
    ['another key size', (j) => (slot(j).key_size = 32), 'keyslots.0.key_size'],
    ['a key size as text', (j) => (slot(j).key_size = '64'), 'keyslots.0.key_size'],
    ['a priority', (j) => (slot(j).priority = 1), 'keyslots.0.priority'],
    ['a cipher_null key slot', (j) => (slot(j).area.encryption = 'cipher_null-ecb'), 'keyslots.0.area.encryption'],
    ['another area type', (j) => (slot(j).area.type = 'none'), 'keyslots.0.area.type'],
    ['another area key size', (j) => (slot(j).area.key_size = 32), 'keyslots.0.area.key_size'],
    ['a datashift area', (j) => (slot(j).area.shift_size = '1'), 'keyslots.0.area.shift_size'],
    ['an area offset with leading zeros', (j) => (slot(j).area.offset = '00768'), 'keyslots.0.area.offset'],
    ['an area inside the header copies', (j) => (slot(j).area.offset = '768'), 'keyslots.0.area.offset'],
    ['an area one byte too early', (j) => (slot(j).area.offset = '32767'), 'keyslots.0.area.offset'],
    ['an area reaching the payload', (j) => (slot(j).area.size = '16748544'), 'keyslots.0.area.size'],
    ['an area size that overflows', (j) => (slot(j).area.size = '18446744073709547520'), 'keyslots.0.area.size'],
    ['a negative area offset', (j) => (slot(j).area.offset = '-1'), 'keyslots.0.area.offset'],
    ['an area offset as number', (j) => (slot(j).area.offset = 32_768), 'keyslots.0.area.offset'],
    [
      'argon2id',
      (j) => (slot(j).kdf = { type: 'argon2id', time: 4, memory: 1, cpus: 1, salt: '' }),
      'keyslots.0.kdf.time',
    ],
    ['another kdf type alone', (j) => (slot(j).kdf.type = 'argon2i'), 'keyslots.0.kdf.type'],
    ['another kdf hash', (j) => (slot(j).kdf.hash = 'sha1'), 'keyslots.0.kdf.hash'],
    ['no iterations', (j) => (slot(j).kdf.iterations = 0), 'keyslots.0.kdf.iterations'],
    ['999 iterations', (j) => (slot(j).kdf.iterations = 999), 'keyslots.0.kdf.iterations'],
    ['10^7 + 1 iterations', (j) => (slot(j).kdf.iterations = 10_000_001), 'keyslots.0.kdf.iterations'],
    ['2^32 iterations of the slot', (j) => (slot(j).kdf.iterations = 2 ** 32), 'keyslots.0.kdf.iterations'],
    ['2^32 iterations of the digest', (j) => (digest(j).iterations = 2 ** 32), 'digests.0.iterations'],
    ['999 iterations of the digest', (j) => (digest(j).iterations = 999), 'digests.0.iterations'],
    ['an empty digest', (j) => (digest(j).digest = ''), 'digests.0.digest'],
    ['a digest of 31 bytes', (j) => (digest(j).digest = base64(31)), 'digests.0.digest'],
    ['a digest of 33 bytes', (j) => (digest(j).digest = base64(33)), 'digests.0.digest'],
    ['a digest of 64 bytes', (j) => (digest(j).digest = base64(64)), 'digests.0.digest'],
    ['an empty salt of the digest', (j) => (digest(j).salt = ''), 'digests.0.salt'],
    ['a salt of the digest of 16 bytes', (j) => (digest(j).salt = base64(16)), 'digests.0.salt'],
    ['a salt of the slot of 16 bytes', (j) => (slot(j).kdf.salt = base64(16)), 'keyslots.0.kdf.salt'],
    ['a digest without padding', (j) => (digest(j).digest = base64(32).slice(0, -1)), 'digests.0.digest'],
    [
      'a digest with bits that are not used',
      (j) => (digest(j).digest = `${base64(32).slice(0, -2)}B=`),
      'digests.0.digest',
    ],
    ['a digest with NUL behind it', (j) => (digest(j).digest += '\0'), 'digests.0.digest'],
    ['a digest with a line end', (j) => (digest(j).digest += '\n'), 'digests.0.digest'],
    ['an area that is not aligned', (j) => (slot(j).area.offset = '33280'), 'keyslots.0.area.offset'],
    ['an area of an odd size', (j) => (slot(j).area.size = '258049'), 'keyslots.0.area.size'],
    ['an area without room for the stripes', (j) => (slot(j).area.size = '253952'), 'keyslots.0.area.size'],
    ['an area of no size', (j) => (slot(j).area.size = '0'), 'keyslots.0.area.size'],
    ['an area behind the key slots', (j) => (j.config.keyslots_size = '253952'), 'keyslots.0.area.size'],
    ['key slots of an odd size', (j) => (j.config.keyslots_size = '262145'), 'config.keyslots_size'],
    ['key slots reaching the payload', (j) => (j.config.keyslots_size = '16748544'), 'config.keyslots_size'],
    ['key slots of 64 bits', (j) => (j.config.keyslots_size = '18446744073709547520'), 'config.keyslots_size'],
    ['another size of the JSON area', (j) => (j.config.json_size = '12289'), 'config.json_size'],
    ['a size of the JSON area that wraps', (j) => (j.config.json_size = String(2n ** 64n - 4096n)), 'config.json_size'],
    ['another splitter', (j) => (slot(j).af.type = 'none'), 'keyslots.0.af.type'],
    ['another splitter hash', (j) => (slot(j).af.hash = 'sha1'), 'keyslots.0.af.hash'],
    ['fewer stripes', (j) => (slot(j).af.stripes = 1), 'keyslots.0.af.stripes'],
    ['a token', (j) => (j.tokens['0'] = { type: 'luks2-keyring', keyslots: ['0'], key_description: 'x' }), 'tokens.0'],
    ['no tokens member', (j) => delete j.tokens, 'tokens'],
    ['no segment', (j) => (j.segments = {}), 'segments.0'],
    ['a second segment', (j) => (j.segments['1'] = segment(j)), 'segments.1'],
    ['a linear segment', (j) => (segment(j).type = 'linear'), 'segments.0.type'],
    ['a segment elsewhere', (j) => (segment(j).offset = '16777728'), 'segments.0.offset'],
    ['a segment of fixed size', (j) => (segment(j).size = '1048576'), 'segments.0.size'],
    ['an IV tweak', (j) => (segment(j).iv_tweak = '8'), 'segments.0.iv_tweak'],
    ['a cipher_null segment', (j) => (segment(j).encryption = 'cipher_null-ecb'), 'segments.0.encryption'],
    ['sectors of 4096', (j) => (segment(j).sector_size = 4096), 'segments.0.sector_size'],
    ['integrity', (j) => (segment(j).integrity = { type: 'none' }), 'segments.0.integrity'],
    ['segment flags', (j) => (segment(j).flags = ['backup-final']), 'segments.0.flags'],
    ['a second digest', (j) => (j.digests['1'] = digest(j)), 'digests.1'],
    ['another digest type', (j) => (digest(j).type = 'x'), 'digests.0.type'],
    ['another digest hash', (j) => (digest(j).hash = 'sha1'), 'digests.0.hash'],
    ['a digest of no slot', (j) => (digest(j).keyslots = []), 'digests.0.keyslots'],
    ['a digest of two slots', (j) => (digest(j).keyslots = ['0', '1']), 'digests.0.keyslots'],
    ['a digest of a numeric slot', (j) => (digest(j).keyslots = [0]), 'digests.0.keyslots'],
    ['a digest of no segment', (j) => (digest(j).segments = []), 'digests.0.segments'],
    ['config flags', (j) => (j.config.flags = ['allow-discards']), 'config.flags'],
    ['requirements', (j) => (j.config.requirements = { mandatory: ['online-reencrypt'] }), 'config.requirements'],
    ['an unknown top-level member', (j) => (j['extra'] = {}), 'extra'],
    [
      '__proto__ as a member',
      (j) => Object.defineProperty(j.config, '__proto__', { value: {}, enumerable: true }),
      'config.__proto__',
    ],
    ['key slots as an array', (j) => (j.keyslots = [slot(j)]), 'keyslots'],
  ];
  it.each(json)('rejects %s', (_, bend, field) => {
    const error = verdict(bent(bend));
    expect(error?.code).toBe('LUKS_HEADER_REJECTED');
    expect(error?.field).toBe(`copy 0 ${field}`);
  });

  it('rejects every removed member', () => {
    const paths = (value: unknown, at: string[] = []): string[][] =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? Object.entries(value).flatMap(([key, inner]) => [[...at, key], ...paths(inner, [...at, key])])
        : [];
    for (const path of paths(goodJson())) {
      const error = verdict(
        bent((tree) => {
          const parent = path.slice(0, -1).reduce((at, key) => at[key], tree);
          delete parent[path.at(-1)!];
        }),
      );
      expect(error?.field, path.join('.')).toBe(`copy 0 ${path.join('.')}`);
    }
  });

  it('checks the second copy as strictly as the first', () => {
    const second = goodJson();
    second.keyslots['0'].area.encryption = 'cipher_null-ecb';
    const error = verdict(buildHeader({ secondJson: second }));
    expect(error?.field).toBe('copy 1 keyslots.0.area.encryption');
    expect(error?.value).toBe('cipher_null-ecb');
  });

  const texts: [string, string][] = [
    ['an empty area', ''],
    ['no object', '[]'],
    ['null', 'null'],
    ['a comment', `/* */${JSON.stringify(goodJson())}`],
    ['text behind the document', `${JSON.stringify(goodJson())} x`],
    ['a duplicate key', JSON.stringify(goodJson()).replace('"tokens":{}', '"tokens":{},"tokens":{"0":{}}')],
    ['a number with a fraction', JSON.stringify(goodJson()).replace('"stripes":4000', '"stripes":4000.0')],
    ['a number with an exponent', JSON.stringify(goodJson()).replace('"stripes":4000', '"stripes":4e3')],
  ];
  it.each(texts)('rejects %s', (_, text) => {
    expect(verdict(buildHeader({ json: text }))?.code).toBe('LUKS_HEADER_REJECTED');
  });

  it('rejects a JSON area that is no UTF-8', () => {
    const bytes = buildHeader();
    bytes[4096 + 20] = 0xff;
    expect(verdict(bytes)?.field).toBe('copy 0 json');
  });

  it('rejects a copy whose checksum is wrong, and two copies that differ', () => {
    const change = (at: number, repaired: boolean): string | undefined => {
      const bytes = Buffer.from(buildHeader());
      bytes[at]! ^= 1;
      return verdict(repaired ? seal(bytes, 16_384) : bytes)?.field;
    };
    expect(change(448, false)).toBe('copy 0 csum');
    expect(change(16_384 + 448 + 31, false)).toBe('copy 1 csum');
    expect(change(104, false)).toBe('copy 0 csum'); // the salt is free, the checksum covers it
    expect(change(104, true)).toBeUndefined();
    expect(change(480, true)).toBeUndefined(); // repaired: the tail of the checksum field was emptied
    expect(change(480, false)).toBe('copy 0 padding');
    expect(change(23, true)).toBe('copy 1 seqid');
    expect(change(300, true)).toBe('copy 0 padding');
    expect(change(4000, true)).toBe('copy 0 padding');
    expect(change(168, true)).toMatch(/copy [01] uuid/);
    const other = goodJson();
    other.keyslots['0'].kdf.iterations = 2000;
    expect(verdict(buildHeader({ secondJson: other }))?.field).toBe('copy 1 json');
  });

  it('property: one changed byte is always rejected, except in a salt with the checksum repaired', () => {
    const good = buildHeader();
    fc.assert(
      fc.property(
        fc.oneof(fc.nat(512), fc.nat(4095), fc.nat(16_383)),
        fc.constantFrom(0, 16_384),
        fc.integer({ min: 1, max: 255 }),
        (at, copy, bits) => {
          const bytes = Buffer.from(good);
          bytes[copy + at]! ^= bits;
          if (verdict(bytes)?.code !== 'LUKS_HEADER_REJECTED') return false;
          const salt = at >= 104 && at < 168;
          const csum = at >= 448 && at < 512;
          return csum || (verdict(seal(bytes, 16_384)) === undefined) === salt;
        },
      ),
      { numRuns: 500 },
    );
  });

  it('property: one changed byte of the JSON of both copies is rejected unless it lies in a value that is free', () => {
    const text = JSON.stringify(goodJson());
    const free = /"(?:iterations)":\d+|"(?:salt|digest)":"[^"]*"|"(?:offset|size|json_size|keyslots_size)":"\d+"/g;
    const freeRanges = [...text.matchAll(free)].map((match) => [match.index, match.index + match[0].length] as const);
    let accepted = 0;
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
        const changed = Buffer.from(text);
        changed[at]! ^= bits;
        if (verdict(withText(buildHeader(), changed)) !== undefined) return true;
        accepted++;
        return freeRanges.some(([start, end]) => at >= start && at < end);
      }),
      { numRuns: 1000 },
    );
    expect(accepted).toBeGreaterThan(0);
  });

  it('property: any bytes get a verdict, never another error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 9000 }), (bytes) => verdict(bytes) !== undefined),
      { numRuns: 200 },
    );
  });
});

const recorded = JSON.parse(readFileSync(new URL('./real-headers.json', import.meta.url), 'utf8')) as {
  version: string;
  header: string;
}[];

describe.each(recorded)('a header that cryptsetup $version made', ({ header }) => {
  const good = new Uint8Array(gunzipSync(Buffer.from(header, 'base64')));

  it('is accepted', () => {
    expect(checkLuksHeader(good)).toMatchObject({ headerSize: 16_384, keyslotOffset: 32_768 });
  });

  it.each(corpus(good).map(({ name, rule, bytes }) => [name, rule, bytes] as const))(
    'bent is rejected: %s',
    (_, rule, bytes) => {
      const error = verdict(bytes);
      expect(error?.code).toBe('LUKS_HEADER_REJECTED');
      expect(error?.field).toBe(rule);
    },
  );

  it('is bent in more than 60 ways, no two alike', () => {
    const all = corpus(good);
    expect(all.length).toBeGreaterThanOrEqual(60);
    expect(new Set(all.map(({ bytes }) => Buffer.from(bytes).toString('base64'))).size).toBe(all.length);
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  });

  // what differs between versions 2.4 and 2.8: order of members, white space, iteration count, size of the slot area
  const same: [string, (tree: GoodJson) => unknown][] = [
    ['members in reverse', (tree) => reversed(tree)],
    [
      'more iterations',
      (tree) => {
        tree.keyslots['0'].kdf.iterations = 2_796_202;
        tree.digests['0'].iterations = 175_229;
        return tree;
      },
    ],
    [
      'another place and size of the slot area',
      (tree) => {
        tree.keyslots['0'].area = { ...tree.keyslots['0'].area, offset: '8388608', size: '262144' };
        tree.config.keyslots_size = '16744448';
        return tree;
      },
    ],
  ];
  it.each(same)('is accepted with %s', (_, change) => {
    const text = JSON.stringify(change(JSON.parse(jsonText(good)) as GoodJson));
    expect(verdict(withText(good, text))).toBeUndefined();
    expect(verdict(withText(good, JSON.stringify(JSON.parse(text), null, 2)))).toBeUndefined();
  });
});

function reversed(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, inner]) => [key, reversed(inner)]),
  );
}
