/** Rules that chains of evidence and of peers share, with certificates that nobody would issue. */
import { describe, expect, it } from 'vitest';
import { type Certificate, parseCertificate } from '../../src/x509/certificate.ts';
import { type ChainRules, checkChain } from '../../src/x509/chain.ts';
import { checkCrl, parseCrl } from '../../src/x509/crl.ts';
import { bits, booleanTrue, integer, item, oid, sequence, utf8String } from '../../src/x509/der-write.ts';
import { extension } from '../../src/x509/extensions.ts';
import { OID } from '../../src/x509/oids.ts';
import { signP256 } from '../../src/x509/sign-p256.ts';
import { failure } from '../failure.ts';
import { PKI } from '../verify/guest.ts';
import {
  ECDSA_SHA256,
  extensions,
  NONE,
  NOT_AFTER,
  NOT_BEFORE,
  nameOf,
  ODD_KEY,
  oddCertificate,
} from './odd-certificate.ts';

const AT = Date.UTC(2030, 0, 1);
const dns = (name: string): Uint8Array => item(0x82, Buffer.from(name));
const address = (...bytes: number[]): Uint8Array => item(0x87, Uint8Array.from(bytes));

/** One key for all: who signs whom is told by the names. */
const make = (subject: string, issuer: string, ...list: Uint8Array[]): Certificate =>
  parseCertificate(
    oddCertificate({ subject: nameOf(subject), issuer: nameOf(issuer), extensions: extensions(...list) }),
  );

const basic = (pathLength?: number): Uint8Array =>
  extension(
    OID.basicConstraints,
    sequence(booleanTrue(), ...(pathLength === undefined ? [] : [integer(Uint8Array.of(pathLength))])),
    true,
  );
const constraints = (permitted: Uint8Array[], excluded: Uint8Array[] = []): Uint8Array => {
  const trees = (tag: number, names: Uint8Array[]) =>
    names.length === 0 ? [] : [item(tag, ...names.map((name) => sequence(name)))];
  return extension(OID.nameConstraints, sequence(...trees(0xa0, permitted), ...trees(0xa1, excluded)), true);
};
const names = (...list: Uint8Array[]): Uint8Array => extension(OID.subjectAltName, sequence(...list));
const usage = (...list: string[]): Uint8Array => extension(OID.extendedKeyUsage, sequence(...list.map(oid)));

const USE = extension(OID.keyUsage, bits(Uint8Array.of(0x80), 7), true);
const ROOT = make('root', 'root', basic());

function judge(chain: readonly Certificate[], rules: Partial<ChainRules> = {}): string {
  try {
    checkChain(chain, { root: ROOT, at: AT, ...rules });
    return 'accepted';
  } catch (thrown) {
    return (thrown as { code?: string }).code ?? String(thrown);
  }
}

/** In order with its root, and as a peer presents it. */
const both = (chain: readonly Certificate[], root = ROOT): string[] => [
  judge([...chain, root], { root, inOrder: true }),
  judge(chain, { root }),
];

describe('a chain, in its order or not,', () => {
  const leaf = make('leaf', 'ca', USE);

  it('is held to the path length of each CA, evidence too', () => {
    const narrow = make('root', 'root', basic(0));
    expect(both([leaf, make('ca', 'root', basic(0))])).toEqual(['accepted', 'accepted']);
    expect(both([leaf, make('ca', 'root', basic())], narrow)).toEqual(['CERT_UNTRUSTED', 'CERT_UNTRUSTED']);
    const low = [leaf, make('ca', 'middle', basic()), make('middle', 'root', basic(0))];
    expect(both(low)).toEqual(['CERT_UNTRUSTED', 'CERT_UNTRUSTED']);
  });

  it('is held to the names that its CAs may vouch for', () => {
    const under = (constraint: Uint8Array, ...list: Uint8Array[]): string => {
      const [ordered, free] = both([make('leaf', 'ca', names(...list)), make('ca', 'root', basic(), constraint)]);
      expect(free).toBe(ordered);
      return ordered as string;
    };
    const example = constraints([dns('example')]);
    expect(under(example, dns('a.example'), dns('*.EXAMPLE'), dns('example'))).toBe('accepted');
    expect(under(example, address(10, 0, 0, 1))).toBe('accepted'); // another form than the constrained one
    expect(under(example, dns('a.example'), dns('notexample'))).toBe('CERT_UNTRUSTED');
    expect(under(constraints([dns('.example')]), dns('example'))).toBe('CERT_UNTRUSTED');
    expect(under(constraints([], [dns('b.example')]), dns('a.example'))).toBe('accepted');
    expect(under(constraints([], [dns('b.example')]), dns('x.b.example'))).toBe('CERT_UNTRUSTED');
    expect(under(constraints([], [dns('b.example')]), dns('*.example'))).toBe('CERT_UNTRUSTED');
    const ten = constraints([address(10, 0, 0, 0, 255, 0, 0, 0)]);
    expect(under(ten, address(10, 9, 9, 9))).toBe('accepted');
    expect(under(ten, address(11, 0, 0, 1))).toBe('CERT_UNTRUSTED');
    expect(under(constraints([item(0xa4, nameOf('other'))]), dns('a'))).toBe('CERT_UNTRUSTED');
    expect(under(constraints([item(0xa4, nameOf('leaf'))]), dns('a'))).toBe('accepted');
  });

  it('is not for a purpose that a CA in it is not for', () => {
    const server = [leaf, make('ca', 'root', basic(), usage(OID.clientAuth))];
    expect(judge(server, { purpose: 'server' })).toBe('CERT_USAGE_WRONG');
    expect(judge(server, { purpose: 'client' })).toBe('accepted');
  });

  it('does not cost more when many certificates have one name', () => {
    const twins = Array.from({ length: 7 }, () => make('ca', 'ca', basic()));
    expect(judge([leaf, ...twins])).toBe('CERT_UNTRUSTED');
  });
});

describe('a revocation list', () => {
  const EMPTY = new Uint8Array();
  const list = (more: { inner?: Uint8Array; entry?: Uint8Array; outer?: Uint8Array; end?: Uint8Array } = {}) => {
    const { inner = ECDSA_SHA256, entry = EMPTY, outer = EMPTY, end = NOT_AFTER } = more;
    const body = sequence(integer(Uint8Array.of(1)), inner, nameOf('root'), NOT_BEFORE, end, entry, outer);
    return sequence(body, ECDSA_SHA256, bits(signP256(body, ODD_KEY.pkcs8Der, 'the test')));
  };
  const entry = (...more: Uint8Array[]) => sequence(sequence(integer(Uint8Array.of(1)), NOT_BEFORE, ...more));
  const own = (...items: Uint8Array[]) => item(0xa0, sequence(...items));

  it('revokes what its issuer has issued', () => {
    const crl = parseCrl(list({ entry: entry() }));
    checkCrl(crl, ROOT, AT);
    const leaf = make('leaf', 'root', USE);
    expect(judge([leaf], { lists: [crl] })).toBe('CERT_UNTRUSTED');
    expect(judge([leaf], { lists: [parseCrl(PKI.rootCrl)] })).toBe('accepted');
  });

  it('that is a part, a delta or damaged is not taken for a whole one', () => {
    const critical = extension('2.5.29.28', sequence(), true); // issuingDistributionPoint
    const bad = [
      list({ outer: own(critical) }),
      list({ outer: own(extension('2.5.29.27', integer(Uint8Array.of(1)), true)) }), // deltaCRLIndicator
      list({ entry: entry(sequence(extension('2.5.29.29', sequence(), true))) }), // certificateIssuer
      list({ entry: entry(utf8String('x')) }),
      list({ inner: sequence(oid('1.2.3')) }),
      list({ end: NONE }),
      list({ end: item(0x17, Buffer.from('300230000000Z')) }),
    ];
    for (const der of bad) expect(failure(() => parseCrl(der)).code).toBe('CERT_INVALID');
    expect(parseCrl(list({ outer: own(extension(OID.crlNumber, integer(Uint8Array.of(1)))) })).serials.size).toBe(0);
  });

  it('of a CA that may not sign lists is refused', () => {
    const mute = make('root', 'root', basic(), extension(OID.keyUsage, bits(Uint8Array.of(0x04), 2), true));
    expect(failure(() => checkCrl(parseCrl(list()), mute, AT)).code).toBe('CERT_INVALID');
  });
});
