/**
 * Other readers as judges: whatever node:crypto or @peculiar/x509 refuses is refused here. What only we refuse is the table
 * of strict.test.ts.
 */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { mockPki } from '../../simulator/pki.ts';
import { freshTlsKey } from '../../src/keys/tls-key.ts';
import { parseCertificate } from '../../src/x509/certificate.ts';
import { isForHost } from '../../src/x509/host-name.ts';
import { issueCertificate } from '../../src/x509/issue.ts';
import { fromPem, toPem } from '../../src/x509/pem.ts';
import { evidenceFor } from '../net/ra-tls-server.ts';
import { loadX509, type X509 } from '../x509.ts';
import { oddCertificate } from './odd-certificate.ts';
import { nodeTakes } from './second-reader.ts';

const PKI = mockPki(new Uint8Array(32).fill(1));
const SEEDS = [PKI.root, PKI.pckCa, PKI.pck, oddCertificate()];

const weTake = (der: Uint8Array): boolean => {
  try {
    return parseCertificate(der) !== undefined;
  } catch {
    return false;
  }
};

/** One byte changed, taken out, put in, or the rest cut off: at a place that is likely to be structure. */
const damaged = fc
  .tuple(fc.constantFrom(...SEEDS), fc.nat(), fc.nat(255), fc.constantFrom('set', 'delete', 'insert', 'cut'))
  .map(([seed, place, value, how]) => {
    const at = place % seed.length;
    if (how === 'set') return seed.with(at, value);
    if (how === 'cut') return seed.slice(0, at);
    const rest = how === 'delete' ? seed.subarray(at + 1) : Uint8Array.from([value, ...seed.subarray(at)]);
    return Uint8Array.from([...seed.subarray(0, at), ...rest]);
  });

let x509: X509;
beforeAll(async () => {
  x509 = await loadX509();
});

describe('what another reader refuses is refused:', () => {
  it('node:crypto', () => {
    let refused = 0;
    fc.assert(
      fc.property(damaged, (der) => {
        const takes = nodeTakes(der);
        if (!takes) refused++;
        return takes || !weTake(der);
      }),
      { numRuns: 1000 },
    );
    expect(refused).toBeGreaterThan(200);
  });

  it('@peculiar/x509', () => {
    let refused = 0;
    fc.assert(
      fc.property(damaged, (der) => {
        try {
          new x509.X509Certificate(new Uint8Array(der));
          return true;
        } catch {
          refused++;
          return !weTake(der);
        }
      }),
      { numRuns: 200 },
    );
    expect(refused).toBeGreaterThan(20);
  });
});

describe('a host name', () => {
  const label = fc.constantFrom('a', 'b', 'A', 'x-1', '*', 'a*', '', 'xn--bcher-kva');
  const dns = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
  const address = fc.constantFrom('10.0.0.1', '10.0.0.2', '::1', '2001:db8::1', '::ffff:10.0.0.1', '10.0.0', '1');

  it('is met by the names that node:crypto takes for it', async () => {
    let met = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(dns, address), { maxLength: 3 }),
        fc.oneof(dns, address),
        async (names, host) => {
          // a name with an empty label or a star is nobody's host
          fc.pre(!/^$|\.\.|^\.|\.$|\*/.test(host));
          const pem = await issueCertificate({ commonName: host, altNames: names }, freshTlsKey());
          const native = new X509Certificate(pem);
          const theirs =
            isIP(host) === 0
              ? native.checkHost(host, { subject: 'never', partialWildcards: false })
              : native.checkIP(host);
          const ours = isForHost(parseCertificate(fromPem(pem, 'CERTIFICATE')).altNames, host);
          if (ours) met++;
          expect(ours).toBe(theirs !== undefined);
        },
      ),
      { numRuns: 80 },
    );
    expect(met).toBeGreaterThan(0);
  });
});

describe('the trap of node:crypto', () => {
  it('is still there: it finds the PEM chain inside evidence before the certificate around it', async () => {
    // if this fails the detour over PEM in second-reader.ts is no longer needed
    const key = freshTlsKey();
    const pem = await issueCertificate({ commonName: 'outer', attestation: evidenceFor(PKI, key) }, key);
    expect(new X509Certificate(fromPem(pem, 'CERTIFICATE')).subject).not.toBe('CN=outer');
    expect(new X509Certificate(toPem('CERTIFICATE', fromPem(pem, 'CERTIFICATE'))).subject).toBe('CN=outer');
    expect(parseCertificate(fromPem(pem, 'CERTIFICATE')).commonName).toBe('outer');
  });
});
