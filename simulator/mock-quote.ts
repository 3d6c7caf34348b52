/** Making TDX quotes of version 4 that standard DCAP verification accepts against the mock root (dstack simulators). */

import { createHash } from 'node:crypto';
import { concat, cut } from '../src/codec/bytes.ts';
import { parseReport } from '../src/tdx/report.ts';
import { QE_IDENTITY } from './mock-collateral.ts';
import { freshKey, signRaw } from './mock-keys.ts';
import { type MockPki, pckChain } from './pki.ts';

/** What a quote says about a guest; absent registers are zero. */
export interface QuoteContent {
  readonly mrtd: Uint8Array;
  /** four registers of 48 bytes */
  readonly rtmrs: readonly Uint8Array[];
  /** 64 bytes */
  readonly reportData: Uint8Array;
  readonly mrConfigId?: Uint8Array;
  readonly mrOwner?: Uint8Array;
  readonly mrOwnerConfig?: Uint8Array;
  /** 16 bytes, default Intel's */
  readonly qeVendorId?: Uint8Array;
}

const BODY_SIZE = 584;
const QE_REPORT_SIZE = 384;
const QE_VENDOR_ID = '939a7233f79c4ca9940a0db3957f0607';
const CERT_QE_REPORT = 6;
const CERT_PCK_CHAIN = 5;

const le = (size: 2 | 4, value: number): Uint8Array => {
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  if (size === 2) view.setUint16(0, value, true);
  else view.setUint32(0, value, true);
  return out;
};

/** Takes what the quote shows out of a TDREPORT_STRUCT of 1024 bytes. */
export function contentOfReport(report: Uint8Array): QuoteContent {
  const { mrtd, mrConfigId, mrOwner, mrOwnerConfig, rtmrs, reportData } = parseReport(report);
  return { mrtd, mrConfigId, mrOwner, mrOwnerConfig, rtmrs, reportData };
}

/** The TD report part of a quote, 584 bytes: all zero except registers, report data and SEPT_VE_DISABLE. */
function quoteBody(content: QuoteContent): Uint8Array {
  const body = new Uint8Array(BODY_SIZE);
  body[120 + 3] = 0x10; // td_attributes bit 28
  body.set(content.mrtd, 136);
  body.set(content.mrConfigId ?? [], 184);
  body.set(content.mrOwner ?? [], 232);
  body.set(content.mrOwnerConfig ?? [], 280);
  content.rtmrs.forEach((register, index) => {
    body.set(register, 328 + 48 * index);
  });
  body.set(content.reportData, 520);
  return body;
}

/** The quoting enclave's own report: it vouches for the attestation key of this one quote. */
function qeReport(attestationKey: Uint8Array, authData: Uint8Array): Uint8Array {
  const report = new Uint8Array(QE_REPORT_SIZE);
  report.fill(QE_IDENTITY.mrSigner, 128, 160);
  report.set(le(2, QE_IDENTITY.isvProdId), 256);
  report.set(le(2, QE_IDENTITY.isvSvn), 258);
  report.set(createHash('sha256').update(attestationKey).update(authData).digest(), 320);
  return report;
}

/** Makes a quote with a fresh attestation key. */
export function mockQuote(pki: MockPki, content: QuoteContent): Uint8Array {
  const header = concat(
    le(2, 4), // version
    le(2, 2), // ECDSA P-256
    le(4, 0x81), // TDX
    le(2, 1), // QE SVN
    le(2, 0), // PCE SVN
    content.qeVendorId ?? Buffer.from(QE_VENDOR_ID, 'hex'),
    new Uint8Array(20),
  );
  const signedPart = concat(header, quoteBody(content));
  const key = freshKey();
  const attestationKey = cut(key.point, 1);
  const signature = signRaw(key, signedPart);

  const authData = new Uint8Array(32);
  const report = qeReport(attestationKey, authData);
  const chain = Buffer.from(pckChain(pki));
  const certification = concat(
    report,
    signRaw(pki.keys.pck, report),
    le(2, authData.length),
    authData,
    le(2, CERT_PCK_CHAIN),
    le(4, chain.length),
    chain,
  );
  const auth = concat(signature, attestationKey, le(2, CERT_QE_REPORT), le(4, certification.length), certification);
  return concat(signedPart, le(4, auth.length), auth);
}
