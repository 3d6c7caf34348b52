/** What the quote is bound to: its stored report data, the key of a certificate, the configuration of the host. */
import { sameBytes } from '../codec/bytes.ts';
import { toHex } from '../codec/hex.ts';
import { utf8Bytes } from '../codec/text.ts';
import { errorChain } from '../errors.ts';
import { certReportData, reportData } from '../keys/report-data.ts';
import type { TdQuoteBody } from '../tdx/quote-layout.ts';
import { checkIssued, isSignedBy } from '../x509/x509.ts';
import { type Check, fail, note, pass } from './check.ts';
import type { CertificateFacts, Evidence } from './evidence-forms.ts';
import type { Identity } from './identity-check.ts';

/** The report data in the TD report against what is stored beside it. */
export function checkReportData(evidence: Evidence, body: TdQuoteBody): Check[] {
  const name = 'report-data';
  const { reportData: stored, reportDataPayload: text } = evidence;
  if (stored !== undefined && !sameBytes(stored, body.reportData)) {
    return [fail(name, `the quote is for report data ${toHex(body.reportData)}, beside it stands ${toHex(stored)}`)];
  }
  if (text !== undefined && !sameBytes(reportData('', 'app-data', utf8Bytes(text)), body.reportData)) {
    return [fail(name, 'the report data is not the app-data hash of its payload')];
  }
  return stored === undefined ? [] : [pass(name, 'the quote carries the report data that stands beside it')];
}

/** Key, validity, issuer and own statements of an RA-TLS certificate. @param at milliseconds */
export function checkCertificate(
  { chain, leaf, appId, appInfo }: CertificateFacts,
  body: TdQuoteBody,
  identity: Identity | undefined,
  at: number,
): Check[] {
  const checks: Check[] = [];
  // CA certificates of a KMS use their own tag
  const tags = [certReportData(leaf.spki), ...(leaf.ca ? [reportData('', 'kms-root-ca', leaf.spki)] : [])];
  checks.push(
    tags.some((tag) => sameBytes(tag, body.reportData))
      ? pass('certificate-key', 'the quote is bound to the public key of the certificate')
      : fail('certificate-key', 'the quote is not bound to the public key of the certificate'),
  );
  const from = new Date(leaf.notBefore).toISOString();
  const to = new Date(leaf.notAfter).toISOString();
  checks.push(
    at >= leaf.notBefore && at <= leaf.notAfter
      ? pass('certificate-validity', `valid from ${from} to ${to}`)
      : fail('certificate-validity', `valid from ${from} to ${to}, not at ${new Date(at).toISOString()}`),
  );
  checks.push(issued(chain));
  if (identity !== undefined) {
    if (appId !== undefined) checks.push(agrees('certificate-app-id', toHex(appId), toHex(identity.info.appId)));
    if (appInfo !== undefined) {
      const text = (info: typeof appInfo) => JSON.stringify({ ...info, deviceId: undefined }, hexValues);
      checks.push(agrees('certificate-app-info', text(appInfo), text(identity.info)));
    }
  }
  return checks;
}

const hexValues = (_: string, value: unknown): unknown => (value instanceof Uint8Array ? toHex(value) : value);

/** Who signed it is a matter of the app's own CA, which the quote does not vouch for: said, and checked as far as given. */
function issued(chain: CertificateFacts['chain']): Check {
  const name = 'certificate-issuer';
  const last = chain.at(-1);
  for (const [index, certificate] of chain.entries()) {
    const issuer = chain[index + 1] ?? certificate;
    const self = issuer === certificate;
    if (self && !sameBytes(certificate.issuer, certificate.subject)) continue;
    try {
      if (!self) checkIssued(chain.slice(0, index + 1), issuer);
      else if (!isSignedBy(certificate.signed, certificate.spki)) {
        return fail(name, `${certificate.commonName} is not signed by itself, though it says so`);
      }
    } catch (thrown) {
      return fail(name, errorChain(thrown));
    }
  }
  const root = last !== undefined && sameBytes(last.issuer, last.subject);
  return note(
    name,
    root ? `its chain ends at ${last.commonName}` : 'the certificate of its issuer is not in the input',
  );
}

function agrees(name: string, stated: string, measured: string): Check {
  if (stated === measured) return pass(name, 'the certificate states what was measured');
  return fail(name, `the certificate states ${stated}, measured is ${measured}`);
}
