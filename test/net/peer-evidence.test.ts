import { describe, expect, it } from 'vitest';
import { mockPki } from '../../simulator/pki.ts';
import { certReportData } from '../../src/keys/report-data.ts';
import { freshTlsKey } from '../../src/keys/tls-key.ts';
import { evidenceIn, verifyPeerEvidence } from '../../src/net/peer-evidence.ts';
import { encodeVersioned, strip, tdxEventLog, tdxQuote } from '../../src/tdx/attestation.ts';
import { quoteLogJson } from '../../src/tdx/log-json.ts';
import { octets } from '../../src/x509/der-write.ts';
import { type Certificate, OID } from '../../src/x509/x509.ts';
import { failure } from '../failure.ts';
import { evidenceRulesFor } from './evidence-rules.ts';
import { mockEvidence } from './ra-tls-server.ts';

const PKI = mockPki(new Uint8Array(32).fill(0x31));
const { spkiDer } = freshTlsKey();
const EVIDENCE = mockEvidence(PKI, certReportData(spkiDer));
const LOG = Buffer.from(quoteLogJson(tdxEventLog(EVIDENCE)));

const evidenceRules = evidenceRulesFor(PKI);
const oldPlatform = evidenceRulesFor(PKI, { tcbStatus: 'OutOfDate', advisoryIds: ['INTEL-SA-00001'] });

const leaf = (payloads: Record<string, Uint8Array>): Pick<Certificate, 'extensions'> => ({
  extensions: new Map(Object.entries(payloads).map(([oid, payload]) => [oid, octets(payload)])),
});
const judge = (from: Pick<Certificate, 'extensions'>, key = spkiDer) =>
  verifyPeerEvidence(evidenceIn(from)!, key, evidenceRules());

const old = () => leaf({ [OID.legacyQuote]: tdxQuote(EVIDENCE), [OID.legacyEventLog]: LOG });

describe('evidence in the certificate of a peer', () => {
  it('is absent, versioned, or in the form of older peers', async () => {
    expect(evidenceIn(leaf({ [OID.usage]: Buffer.from('kms:rpc') }))).toBeUndefined();
    await judge(leaf({ [OID.attestation]: encodeVersioned(strip(EVIDENCE)) }));
    await judge(old());
  });

  it('of older peers is judged as strictly', async () => {
    await expect(judge(old(), freshTlsKey().spkiDer)).rejects.toMatchObject({ code: 'EVIDENCE_MISMATCH' });
    const other = Buffer.from(quoteLogJson(tdxEventLog(EVIDENCE).slice(1)));
    const shorter = leaf({ [OID.legacyQuote]: tdxQuote(EVIDENCE), [OID.legacyEventLog]: other });
    await expect(judge(shorter)).rejects.toMatchObject({ code: 'EVIDENCE_INVALID' });
    expect(failure(() => evidenceIn(leaf({ [OID.legacyQuote]: tdxQuote(EVIDENCE) }))).code).toBe('CERT_INVALID');
    const damaged = leaf({ [OID.legacyQuote]: Uint8Array.of(1), [OID.legacyEventLog]: LOG });
    expect(failure(() => evidenceIn(damaged)).code).toBe('QUOTE_INVALID');
  });
});

describe('the platform of a peer', () => {
  const evidence = evidenceIn(old())!;

  it('may be old unless somebody pins what it must be, and is told in any case', async () => {
    const told: unknown[] = [];
    const rules = () => ({ ...oldPlatform(), onJudged: (platform: unknown) => void told.push(platform) });
    await verifyPeerEvidence(evidence, spkiDer, rules());
    await verifyPeerEvidence(evidence, spkiDer, { ...rules(), allowed: ['UpToDate', 'OutOfDate'] });
    await expect(
      verifyPeerEvidence(evidence, spkiDer, { ...rules(), allowed: ['UpToDate', 'SWHardeningNeeded'] }),
    ).rejects.toMatchObject({ code: 'EVIDENCE_INVALID', field: 'tcb-status' });
    expect(told).toEqual(Array(2).fill({ status: 'OutOfDate', advisories: ['INTEL-SA-00001'] }));
  });

  it('that is good passes a policy', async () => {
    await verifyPeerEvidence(evidence, spkiDer, { ...evidenceRules(), allowed: ['UpToDate'] });
  });
});
