/** Name constraints of a CA (RFC 5280, 4.2.1.10): the names that certificates below it may have. */

import { sameBytes } from '../codec/bytes.ts';
import { latin1 } from '../codec/text.ts';
import { type DerReader, malformed } from './der.ts';
import { type GeneralName, NAME_TAG, readGeneralName, readName } from './names.ts';

export interface NameConstraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

/** The names of a certificate. */
export interface Named {
  /** DER */
  readonly subject: Uint8Array;
  readonly altNames: readonly GeneralName[];
}

/**
 * Forms that are compared. A constraint on another form could not be kept, so it is refused. Directory names are compared
 * byte for byte, which is too narrow to exclude any: other bytes may mean the same name.
 */
const PERMITTED: readonly number[] = [NAME_TAG.dns, NAME_TAG.address, NAME_TAG.directory];
const EXCLUDED: readonly number[] = [NAME_TAG.dns, NAME_TAG.address];

/** @throws CODEC_INVALID */
export function readNameConstraints(outer: DerReader): NameConstraints {
  const reader = outer.enter();
  const subtrees = (tag: number, compared: readonly number[]): GeneralName[] => {
    const out: GeneralName[] = [];
    if (reader.peek() !== tag) return out;
    const list = reader.enter(tag);
    do {
      const subtree = list.enter();
      const base = readGeneralName(subtree);
      subtree.end(); // neither minimum nor maximum, which this profile does not allow
      if (!compared.includes(base.tag))
        throw malformed(`names with tag 0x${base.tag.toString(16)} cannot be constrained`);
      if (base.tag === NAME_TAG.address && ![8, 32].includes(base.value.length)) {
        throw malformed(`an address constraint has ${base.value.length} bytes`);
      }
      out.push(base);
    } while (list.more);
    return out;
  };
  const constraints = { permitted: subtrees(0xa0, PERMITTED), excluded: subtrees(0xa1, EXCLUDED) };
  reader.end();
  if (constraints.permitted.length + constraints.excluded.length === 0) throw malformed('name constraints are empty');
  return constraints;
}

/** The first name that the constraints do not allow, for people; undefined when all are allowed. */
export function forbiddenName(
  { permitted, excluded }: NameConstraints,
  { subject, altNames }: Named,
): string | undefined {
  const own = readName(subject).parts.length > 0 ? [{ tag: NAME_TAG.directory, value: subject }] : [];
  for (const name of [...own, ...altNames]) {
    const sameForm = permitted.filter(({ tag }) => tag === name.tag);
    const allowed = sameForm.length === 0 || sameForm.some((base) => lies(name, base));
    if (!allowed || excluded.some((base) => base.tag === name.tag && overlaps(name, base))) return printed(name);
  }
  return undefined;
}

const text = (bytes: Uint8Array): string => latin1(bytes).toLowerCase();

/** True if the name lies in the subtree. */
function lies(name: GeneralName, base: GeneralName): boolean {
  if (name.tag === NAME_TAG.dns) return below(text(name.value), text(base.value));
  if (name.tag === NAME_TAG.directory) {
    const [parts, wanted] = [readName(name.value).parts, readName(base.value).parts];
    return wanted.length <= parts.length && wanted.every((part, index) => sameBytes(part, parts[index] as Uint8Array));
  }
  const size = base.value.length / 2;
  return (
    name.value.length === size &&
    name.value.every((byte, index) => ((byte ^ base.value[index]!) & base.value[size + index]!) === 0)
  );
}

/** As `lies`; a wildcard also meets what lies below it. */
const overlaps = (name: GeneralName, base: GeneralName): boolean =>
  lies(name, base) ||
  (name.tag === NAME_TAG.dns &&
    text(name.value).startsWith('*.') &&
    below(text(base.value).replace(/^\./, ''), text(name.value).slice(2)));

/** `.example` means names below it only, `example` itself too. */
const below = (name: string, base: string): boolean =>
  base.startsWith('.') ? name.endsWith(base) : name === base || name.endsWith(`.${base}`);

const printed = ({ tag, value }: GeneralName): string => {
  if (tag === NAME_TAG.dns) return text(value);
  return tag === NAME_TAG.directory ? `the subject ${readName(value).commonName}` : [...value].join('.');
};
