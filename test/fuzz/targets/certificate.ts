/**
 * Certificates of peers: as evidence, for single extensions, and beside another reader. What node:crypto refuses and ours
 * takes is a finding.
 */
import { decodeAppInfoExtension } from '../../../src/tdx/app-info-extension.ts';
import { decodeVersioned } from '../../../src/tdx/attestation.ts';
import { parseLogJson } from '../../../src/tdx/log-json.ts';
import { parseQuote } from '../../../src/tdx/quote-layout.ts';
import { readEvidence } from '../../../src/verify/recognise.ts';
import { OID, parseCertificate, readExtension } from '../../../src/x509/x509.ts';
import { nodeTakes } from '../../x509/second-reader.ts';
import { type FuzzTarget, outcome } from '../target.ts';

const OURS = [OID.legacyQuote, OID.legacyEventLog, OID.appId, OID.usage, OID.attestation, OID.appInfo];

const INSIDE: Readonly<Record<string, (payload: Uint8Array) => unknown>> = {
  [OID.attestation]: decodeVersioned,
  [OID.appInfo]: decodeAppInfoExtension,
  [OID.legacyQuote]: parseQuote,
  [OID.legacyEventLog]: (payload) => parseLogJson(Buffer.from(payload).toString('utf8')),
};

function takes(der: Uint8Array): boolean {
  try {
    return parseCertificate(der) !== undefined;
  } catch {
    return false;
  }
}

const target: FuzzTarget = {
  limit: 65_536,
  dictionary: [
    Uint8Array.of(0x30, 0x80),
    Uint8Array.of(0x30, 0x84, 0x7f, 0xff, 0xff, 0xff),
    Uint8Array.of(0x04, 0x82),
    Uint8Array.of(0x06, 0x0a, 0x2b, 6, 1, 4, 1, 0x83, 0xe7, 0x3d, 1, 1),
    Uint8Array.of(0x06, 0x0a, 0x2b, 6, 1, 4, 1, 0x83, 0xe7, 0x3d, 1, 8),
    Uint8Array.of(0x06, 0x0a, 0x2b, 6, 1, 4, 1, 0x83, 0xe7, 0x3d, 1, 9),
    Uint8Array.of(0x17, 0x0d),
    Uint8Array.of(0x18, 0x0f),
    Uint8Array.of(0x03, 0x42, 0x00),
    Uint8Array.of(0xa3, 0x82),
    '-----BEGIN CERTIFICATE-----\n',
    '\n-----END CERTIFICATE-----\n',
  ],
  async run(input) {
    // text is read as PEM, everything else as DER
    const certificate = input[0] === 0x2d ? Buffer.from(input).toString('latin1') : input;
    await outcome({ ...target, run: (bytes) => void readEvidence(bytes) }, input);
    if (typeof certificate !== 'string' && takes(certificate) && !nodeTakes(certificate)) {
      throw new Error('node:crypto refuses this certificate, ours takes it');
    }
    // reading one costs milliseconds: the attestation always, one of the others by turns
    const other = OURS[input.length % OURS.length] ?? OID.usage;
    for (const oid of new Set([OID.attestation, other])) {
      const payload = readExtension(certificate, oid);
      const inside = INSIDE[oid];
      if (payload === undefined || inside === undefined) continue;
      await outcome({ ...target, run: (bytes) => void inside(bytes) }, payload);
    }
  },
};
export default target;
