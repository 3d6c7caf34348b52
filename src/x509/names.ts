/** Names in certificates (RFC 5280): distinguished names (4.1.2.4) and the general names of subjectAltName (4.2.1.6). */
import { compareBytes } from '../codec/bytes.ts';
import { fromLatin1, latin1 } from '../codec/text.ts';
import { DerReader, malformed, TAG } from './der.ts';
import { item } from './der-write.ts';
import { OID } from './oids.ts';

/** A distinguished name, taken apart. */
export interface DistinguishedName {
  /** DER of its relative names, in their order */
  readonly parts: readonly Uint8Array[];
  /** the first common name, empty when there is none */
  readonly commonName: string;
}

/** @param name DER of the whole Name @throws CODEC_INVALID */
export function readName(name: Uint8Array): DistinguishedName {
  const parts: Uint8Array[] = [];
  let commonName: string | undefined;
  const file = new DerReader(name);
  const list = file.enter();
  file.end();
  while (list.more) {
    const part = list.next(TAG.set);
    parts.push(part.raw);
    const attributes = new DerReader(part.content);
    let before: Uint8Array | undefined;
    do {
      const { raw } = attributes.next(TAG.sequence);
      // a SET OF has its members in ascending order (X.690, 11.6)
      if (before !== undefined && compareBytes(before, raw) >= 0) throw malformed('attributes are not in order');
      before = raw;
      const attribute = new DerReader(raw).enter();
      const type = attribute.oid();
      const { tag, content } = attribute.next();
      attribute.end();
      const value = textOf(tag, content);
      if (type === OID.commonName) commonName ??= value;
    } while (attributes.more);
  }
  return { parts, commonName: commonName ?? '' };
}

const ENCODINGS: Readonly<Record<number, 'utf-8' | 'latin1' | 'utf-16be'>> = {
  [TAG.utf8String]: 'utf-8',
  [TAG.numericString]: 'utf-8',
  [TAG.printableString]: 'utf-8',
  [TAG.ia5String]: 'utf-8',
  [TAG.teletexString]: 'latin1',
  [TAG.bmpString]: 'utf-16be',
};

function textOf(tag: number, content: Uint8Array): string {
  const encoding = ENCODINGS[tag];
  if (encoding === undefined) throw malformed(`part of a name has tag 0x${tag.toString(16)}`);
  if (encoding === 'latin1') return latin1(content);
  return new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(content);
}

/** Tags of GeneralName that are looked into. */
export const NAME_TAG = { dns: 0x82, directory: 0xa4, address: 0x87 } as const;
/** rfc822Name, x400Address, ediPartyName, URI, registeredID, otherName: never compared */
const OTHER_TAGS = new Set([0x81, 0xa3, 0xa5, 0x86, 0x88, 0xa0]);

export interface GeneralName {
  readonly tag: number;
  /** dNSName: ASCII; iPAddress: 4 or 16 bytes (in a constraint 8 or 32); directoryName: DER of the Name */
  readonly value: Uint8Array;
}

/** One name of subjectAltName or of a constraint. @throws CODEC_INVALID */
export function readGeneralName(reader: DerReader): GeneralName {
  const { tag, content } = reader.next();
  // an IA5String; which of them are host names is seen where they are compared
  if (tag === NAME_TAG.dns && content.some((byte) => byte >= 0x80)) throw malformed('a DNS name is not ASCII');
  if (tag === NAME_TAG.directory) readName(content);
  else if (tag !== NAME_TAG.dns && tag !== NAME_TAG.address && !OTHER_TAGS.has(tag)) {
    throw malformed(`0x${tag.toString(16)} is not the tag of a name`);
  }
  return { tag, value: content };
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

/** The content of iPAddress for an address literal, undefined for anything else. IPv6 zones are not part of an address. */
export function addressBytes(text: string): Uint8Array | undefined {
  if (IPV4.test(text)) return Uint8Array.from(text.split('.').map(Number));
  return /^[0-9a-fA-F:.]+$/.test(text) && text.includes(':') && URL.canParse(`http://[${text}]`)
    ? ipv6Bytes(text)
    : undefined;
}

/** The 16 bytes of an IPv6 address; the URL parser turns a dotted tail into groups. */
function ipv6Bytes(address: string): Uint8Array {
  const [left = '', right] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const groups = (part: string) => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)));
  const [before, after] = [groups(left), groups(right ?? '')];
  const all = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

/** GeneralName of a host: iPAddress for an address literal, else dNSName, whose text the caller has checked. */
export function generalName(host: string): Uint8Array {
  const address = addressBytes(host);
  return address === undefined ? item(NAME_TAG.dns, fromLatin1(host)) : item(NAME_TAG.address, address);
}
