/** RA-TLS certificates: the evidence in their extensions, and what it must agree with (dstack keys and certificates). */

import { lenientUtf8 } from '../codec/text.ts';
import { DstackError } from '../errors.ts';
import { utf8 } from '../sys/utf8.ts';
import { decodeAppInfoExtension } from '../tdx/app-info-extension.ts';
import { parseLogJson } from '../tdx/log-json.ts';
import { type Certificate, OID, parseCertificate, parsePemChain, readExtension } from '../x509/x509.ts';
import { type CertificateFacts, type Evidence, fromVersioned, quoteAlone, runtimeEventsOf } from './evidence-forms.ts';

/** @throws CERT_INVALID, ATTESTATION_INVALID, EVENT_LOG_INVALID */
export const evidenceFromDer = (der: Uint8Array): Evidence => fromChain([parseCertificate(der)]);

/** The first certificate carries the evidence, the others are its issuers. @throws as `fromDer` */
export const evidenceFromPem = (text: string): Evidence => fromChain(parsePemChain(text));

function fromChain(chain: readonly Certificate[]): Evidence {
  const leaf = chain[0] as Certificate;
  const payload = (oid: string): Uint8Array | undefined => readExtension(leaf, oid);
  const [appId, usage, appInfo] = [payload(OID.appId), payload(OID.usage), payload(OID.appInfo)];
  const certificate: CertificateFacts = {
    chain,
    leaf,
    ...(appId === undefined ? {} : { appId }),
    ...(usage === undefined ? {} : { usage: utf8(usage, 'certificate usage') }),
    ...(appInfo === undefined ? {} : { appInfo: decodeAppInfoExtension(appInfo) }),
  };
  const attestation = payload(OID.attestation);
  const evidence = attestation === undefined ? legacy(payload) : fromVersioned(attestation);
  return { ...evidence, kind: 'certificate', form: `RA-TLS certificate, ${evidence.form}`, certificate };
}

/** Certificates of older guests: the bare quote, and the event log as JSON. */
function legacy(payload: (oid: string) => Uint8Array | undefined): Evidence {
  const quote = payload(OID.legacyQuote);
  if (quote === undefined) throw new DstackError('CERT_INVALID', 'the certificate carries no attestation');
  const log = payload(OID.legacyEventLog);
  if (log === undefined) throw new DstackError('CERT_INVALID', 'the certificate has a quote, but no event log');
  const eventLog = parseLogJson(lenientUtf8(log));
  return { ...quoteAlone(quote, 'quote and event log'), eventLog, runtimeEvents: runtimeEventsOf(eventLog) };
}
