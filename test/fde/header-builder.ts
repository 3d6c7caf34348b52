/** Builds LUKS2 headers, good ones and bent ones, byte by byte (LUKS2 On-Disk Format Specification 1.1, section 2). */
import { createHash } from 'node:crypto';

export interface HeaderParts {
  magic?: [string, string];
  version?: number;
  headerSize?: number;
  /** hdr_size written into copy 1 only */
  secondSize?: number;
  label?: string;
  subsystem?: string;
  checksum?: string;
  /** added to hdr_offset of the given copy */
  offsetShift?: { copy: 0 | 1; by: bigint };
  /** JSON of each copy: an object or raw text */
  json?: unknown;
  /** JSON of copy 1, default as copy 0 */
  secondJson?: unknown;
  uuid?: string;
}

/** The JSON area cryptsetup 2.6 and 2.7 write for our parameters. */
export function goodJson(): GoodJson {
  return {
    keyslots: {
      '0': {
        type: 'luks2',
        key_size: 64,
        af: { type: 'luks1', stripes: 4000, hash: 'sha256' },
        area: { type: 'raw', offset: '32768', size: '258048', encryption: 'aes-xts-plain64', key_size: 64 },
        kdf: { type: 'pbkdf2', hash: 'sha256', iterations: 1000, salt: 'c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0c2FsdHNhbHQ=' },
      },
    },
    tokens: {},
    segments: {
      '0': {
        type: 'crypt',
        offset: '16777216',
        size: 'dynamic',
        iv_tweak: '0',
        encryption: 'aes-xts-plain64',
        sector_size: 512,
      },
    },
    digests: {
      '0': {
        type: 'pbkdf2',
        keyslots: ['0'],
        segments: ['0'],
        hash: 'sha256',
        iterations: 1000,
        salt: 'c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0c2FsdHNhbHQ=',
        digest: 'ZGlnZXN0ZGlnZXN0ZGlnZXN0ZGlnZXN0ZGlnZXN0MTI=',
      },
    },
    config: { json_size: '12288', keyslots_size: '16744448' },
  };
}

// deliberately loose: tests bend it
// biome-ignore lint/suspicious/noExplicitAny: a JSON tree that tests change at will
type Tree = any;
export interface GoodJson {
  keyslots: Tree;
  tokens: Tree;
  segments: Tree;
  digests: Tree;
  config: Tree;
  [extra: string]: Tree;
}

/** Both copies, one after the other. */
export function buildHeader(parts: HeaderParts = {}): Uint8Array {
  const size = parts.headerSize ?? 16_384;
  const json = parts.json ?? goodJson();
  const copies = ([0, 1] as const).map((copy) => {
    const bytes = Buffer.alloc(size);
    const magic = (parts.magic ?? ['4c554b53babe', '534b554cbabe'])[copy];
    bytes.write(magic, 0, 'hex');
    bytes.writeUInt16BE(parts.version ?? 2, 6);
    bytes.writeBigUInt64BE(BigInt(copy === 1 ? (parts.secondSize ?? size) : size), 8);
    bytes.writeBigUInt64BE(3n, 16);
    bytes.write(parts.label ?? '', 24, 48, 'latin1');
    bytes.write(parts.checksum ?? 'sha256', 72, 32, 'latin1');
    bytes.fill(0xa5, 104, 168);
    bytes.write(parts.uuid ?? '37230443-192d-49f8-98c1-9964a91f8a1f', 168, 40, 'latin1');
    bytes.write(parts.subsystem ?? '', 208, 48, 'latin1');
    const shift = parts.offsetShift?.copy === copy ? parts.offsetShift.by : 0n;
    bytes.writeBigUInt64BE(BigInt.asUintN(64, BigInt(copy * size) + shift), 256);
    const document = copy === 1 ? (parts.secondJson ?? json) : json;
    bytes.write(typeof document === 'string' ? document : JSON.stringify(document), 4096, 'utf8');
    const digest = createHash('sha256').update(bytes).digest();
    digest.copy(bytes, 448);
    return bytes;
  });
  return new Uint8Array(Buffer.concat(copies));
}
