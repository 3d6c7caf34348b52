/** What the extensions of RFC 5280 (4.2.1) say that are looked at here. Their encoding is checked to the last byte. */
import { DerReader, malformed, TAG } from './der.ts';
import { type NameConstraints, readNameConstraints } from './name-constraints.ts';
import { type GeneralName, NAME_TAG, readGeneralName } from './names.ts';
import { OID } from './oids.ts';

/** Bits of KeyUsage (4.2.1.3), counted from the highest of the first byte. */
export const KEY_USAGE = { digitalSignature: 0x80, keyCertSign: 0x04, crlSign: 0x02 } as const;

export interface ExtensionValues {
  /** first byte of KeyUsage; undefined without one, which allows everything */
  readonly keyUsage: number | undefined;
  /** may sign certificates: cA flag, and keyCertSign where a key usage is stated */
  readonly ca: boolean;
  /** how many CAs may stand between this CA and a leaf; undefined does not limit it */
  readonly pathLength: number | undefined;
  /** object identifiers, undefined without the extension */
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly altNames: readonly GeneralName[];
  readonly nameConstraints: NameConstraints | undefined;
}

/** Extensions that are understood: a critical one that is not in this list must be refused (RFC 5280, 4.2). */
export const UNDERSTOOD: ReadonlySet<string> = new Set([
  OID.basicConstraints,
  OID.keyUsage,
  OID.subjectAltName,
  OID.extendedKeyUsage,
  OID.nameConstraints,
]);

/** @param extensions content of extnValue by object identifier @throws CODEC_INVALID */
export function readExtensionValues(extensions: ReadonlyMap<string, Uint8Array>): ExtensionValues {
  const read = <T>(oid: string, how: (reader: DerReader) => T): T | undefined => {
    const value = extensions.get(oid);
    if (value === undefined) return undefined;
    const reader = new DerReader(value);
    const result = how(reader);
    reader.end();
    return result;
  };
  const constraints = read(OID.basicConstraints, readBasicConstraints);
  const keyUsage = read(OID.keyUsage, readKeyUsage);
  return {
    keyUsage,
    ca: constraints?.ca === true && ((keyUsage ?? KEY_USAGE.keyCertSign) & KEY_USAGE.keyCertSign) !== 0,
    pathLength: constraints?.pathLength,
    extendedKeyUsage: read(OID.extendedKeyUsage, (reader) => listOf(reader, (list) => list.oid())),
    altNames: read(OID.subjectAltName, (reader) => listOf(reader, readAltName)) ?? [],
    nameConstraints: read(OID.nameConstraints, readNameConstraints),
  };
}

function readBasicConstraints(outer: DerReader): { ca: boolean; pathLength: number | undefined } {
  const reader = outer.enter();
  const ca = reader.flag();
  const pathLength = reader.more ? reader.smallInteger() : undefined;
  reader.end();
  if (pathLength !== undefined && !ca) throw malformed('a path length stands without the CA flag');
  return { ca, pathLength };
}

/**
 * A named BIT STRING of up to nine bits. Zero bits at its end should not be written (X.690, 11.2.2), but the certificates
 * of the platform have them (`0303078600`), so that they are read.
 */
function readKeyUsage(reader: DerReader): number {
  const { content } = reader.next(TAG.bitString);
  const [unused = 8, first = 0, ...rest] = content;
  const [second = 0] = rest;
  const unwritten = (rest.length === 0 ? first : second) & ((1 << unused) - 1);
  if (unused > 7 || rest.length > 1 || unwritten !== 0) throw malformed('a key usage has bits that do not count');
  if ((first | second) === 0) throw malformed('a key usage allows nothing');
  return first;
}

/** SEQUENCE SIZE (1..MAX) OF */
function listOf<T>(reader: DerReader, read: (list: DerReader) => T): T[] {
  const list = reader.enter();
  const out: T[] = [];
  do out.push(read(list));
  while (list.more);
  return out;
}

function readAltName(list: DerReader): GeneralName {
  const name = readGeneralName(list);
  if (name.tag === NAME_TAG.address && name.value.length !== 4 && name.value.length !== 16) {
    throw malformed(`an IP address has ${name.value.length} bytes`);
  }
  return name;
}
