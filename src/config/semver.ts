/**
 * Semantic versions and version requirements with the rules of Rust's `semver` crate 1.0, which is what app authors
 * test against: comma-separated comparators, `=`, `>`, `>=`, `<`, `<=`, `~`, `^` (the default), wildcards `*`, `1.*`.
 */
import { DstackError } from '../errors.ts';

export interface Version {
  readonly major: bigint;
  readonly minor: bigint;
  readonly patch: bigint;
  /** dot-separated identifiers; empty for a release */
  readonly pre: readonly string[];
}

type Operator = '=' | '>' | '>=' | '<' | '<=' | '~' | '^' | '*';

interface Comparator {
  readonly op: Operator;
  readonly major: bigint;
  readonly minor: bigint | undefined;
  readonly patch: bigint | undefined;
  readonly pre: readonly string[];
}

const U64_MAX = (1n << 64n) - 1n;
const MAX_COMPARATORS = 32;
const NUM = '(0|[1-9][0-9]*)';
const TAIL = '(?:-([0-9A-Za-z.-]+))?(?:\\+([0-9A-Za-z.-]+))?';
const VERSION = new RegExp(`^${NUM}\\.${NUM}\\.${NUM}${TAIL}$`);
// the patch is inside the group of the minor: `1.2-rc` must not pass as major 1, patch 2
const COMPARATOR = new RegExp(
  `^(=|>=|>|<=|<|~|\\^)? *${NUM}(?:\\.(?:([*xX])|${NUM})(?:\\.(?:([*xX])|${NUM}${TAIL}))?)?$`,
);

/** @throws DOCUMENT_INVALID */
export function parseVersion(text: string): Version {
  const match = VERSION.exec(text);
  if (match === null) throw invalid('version', text);
  const [, major, minor, patch, pre, build] = match;
  identifiers(build, false, text); // checked, but never compared
  return {
    major: number(major!, text),
    minor: number(minor!, text),
    patch: number(patch!, text),
    pre: identifiers(pre, true, text),
  };
}

/** Whether `version` satisfies `requirement`. @throws DOCUMENT_INVALID if either text is malformed */
export function satisfies(version: string | Version, requirement: string): boolean {
  const comparators = parseRequirement(requirement);
  const actual = typeof version === 'string' ? parseVersion(version) : version;
  if (!comparators.every((comparator) => matches(comparator, actual))) return false;
  // a pre-release is taken only where a comparator for the very same release names a pre-release itself
  return actual.pre.length === 0 || comparators.some((comparator) => allowsPreRelease(comparator, actual));
}

function parseRequirement(requirement: string): Comparator[] {
  const text = requirement.replace(/^ +/, '');
  if (/^[*xX] *$/.test(text)) return [];
  const parts = text.split(',').map((part) => part.replace(/^ +| +$/g, ''));
  if (parts.length > MAX_COMPARATORS) throw invalid('version requirement', requirement);
  return parts.map((part) => parseComparator(part, requirement));
}

function parseComparator(part: string, requirement: string): Comparator {
  const match = COMPARATOR.exec(part);
  if (match === null) throw invalid('version requirement', requirement);
  const [, op, major, minorWildcard, minor, patchWildcard, patch, pre, build] = match;
  if (minorWildcard !== undefined && patch !== undefined) throw invalid('version requirement', requirement);
  const wildcard = minorWildcard !== undefined || patchWildcard !== undefined;
  identifiers(build, false, requirement);
  return {
    op: (op as Operator | undefined) ?? (wildcard ? '*' : '^'),
    major: number(major!, requirement),
    minor: minor === undefined ? undefined : number(minor, requirement),
    patch: patch === undefined ? undefined : number(patch, requirement),
    pre: identifiers(pre, true, requirement),
  };
}

function invalid(what: string, text: string): DstackError {
  return new DstackError('DOCUMENT_INVALID', `not a valid ${what}: ${text.slice(0, 80)}`, { value: text });
}

function number(digits: string, whole: string): bigint {
  if (digits.length > 20 || BigInt(digits) > U64_MAX) throw invalid('version number', whole);
  return BigInt(digits);
}

function identifiers(text: string | undefined, strict: boolean, whole: string): string[] {
  if (text === undefined) return [];
  const parts = text.split('.');
  for (const part of parts) {
    if (part === '' || (strict && /^0[0-9]+$/.test(part))) throw invalid('version', whole);
  }
  return parts;
}

const compareBig = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

/** Precedence of pre-releases (semver.org, 11): none above any, numbers below words, numbers by value, longer above. */
function comparePre(a: readonly string[], b: readonly string[]): number {
  if (a.length === 0 || b.length === 0) return (a.length === 0 ? 1 : 0) - (b.length === 0 ? 1 : 0);
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = compareIdentifier(a[i]!, b[i]!);
    if (order !== 0) return order;
  }
  return Math.sign(a.length - b.length);
}

function compareIdentifier(a: string, b: string): number {
  const [aNumber, bNumber] = [/^[0-9]+$/.test(a), /^[0-9]+$/.test(b)];
  if (aNumber && bNumber) return compareBig(BigInt(a), BigInt(b));
  if (aNumber !== bNumber) return aNumber ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Order of a version against a partial comparator: 0 also when the comparator ends early (`undecided`). */
function order(version: Version, { major, minor, patch, pre }: Comparator): { sign: number; partial: boolean } {
  const steps: [bigint, bigint | undefined][] = [
    [version.major, major],
    [version.minor, minor],
    [version.patch, patch],
  ];
  for (const [actual, wanted] of steps) {
    if (wanted === undefined) return { sign: 0, partial: true };
    const sign = compareBig(actual, wanted);
    if (sign !== 0) return { sign, partial: false };
  }
  return { sign: comparePre(version.pre, pre), partial: false };
}

function matchesExact(version: Version, comparator: Comparator): boolean {
  const { major, minor, patch, pre } = comparator;
  return (
    version.major === major &&
    (minor === undefined || version.minor === minor) &&
    (patch === undefined || version.patch === patch) &&
    comparePre(version.pre, pre) === 0
  );
}

function matches(comparator: Comparator, version: Version): boolean {
  switch (comparator.op) {
    case '=':
    case '*':
      return matchesExact(version, comparator);
    case '>':
    case '>=': {
      const { sign, partial } = order(version, comparator);
      return (!partial && sign > 0) || (comparator.op === '>=' && matchesExact(version, comparator));
    }
    case '<':
    case '<=': {
      const { sign, partial } = order(version, comparator);
      return (!partial && sign < 0) || (comparator.op === '<=' && matchesExact(version, comparator));
    }
    case '~':
      return matchesTilde(version, comparator);
    case '^':
      return matchesCaret(version, comparator);
  }
}

function matchesTilde(version: Version, { major, minor, patch, pre }: Comparator): boolean {
  if (version.major !== major) return false;
  if (minor !== undefined && version.minor !== minor) return false;
  if (patch !== undefined && version.patch !== patch) return version.patch > patch;
  return comparePre(version.pre, pre) >= 0;
}

function matchesCaret(version: Version, { major, minor, patch, pre }: Comparator): boolean {
  if (version.major !== major) return false;
  if (minor === undefined) return true;
  if (patch === undefined) return major > 0n ? version.minor >= minor : version.minor === minor;
  if (major > 0n) {
    if (version.minor !== minor) return version.minor > minor;
    if (version.patch !== patch) return version.patch > patch;
  } else if (minor > 0n) {
    if (version.minor !== minor) return false;
    if (version.patch !== patch) return version.patch > patch;
  } else if (version.minor !== minor || version.patch !== patch) {
    return false;
  }
  return comparePre(version.pre, pre) >= 0;
}

function allowsPreRelease({ major, minor, patch, pre }: Comparator, version: Version): boolean {
  return major === version.major && minor === version.minor && patch === version.patch && pre.length > 0;
}
