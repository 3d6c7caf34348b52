/** DCAP collateral for the mock platform, in the shape @phala/dcap-qvl takes (dstack simulators, TCB info and QE identity). */
import { toHex } from '../src/codec/hex.ts';
import { canonicalJson } from '../src/codec/jcs.ts';
import { type MockKey, signRaw } from './mock-keys.ts';
import { type MockPki, pemChain } from './pki.ts';

export interface Collateral {
  pck_crl_issuer_chain: string;
  /** hex of DER */
  root_ca_crl: string;
  pck_crl: string;
  tcb_info_issuer_chain: string;
  tcb_info: string;
  /** hex of r | s */
  tcb_info_signature: string;
  qe_identity_issuer_chain: string;
  qe_identity: string;
  qe_identity_signature: string;
}

/** What the TCB info says about the platform, for tests of verifiers. */
export interface TcbOptions {
  readonly tcbStatus?: string;
  readonly advisoryIds?: readonly string[];
  /** hex, of another platform than the PCK certificate names */
  readonly fmspc?: string;
}

/** What the quoting enclave of this PKI is; its report carries the same values. */
export const QE_IDENTITY = { mrSigner: 0x44, isvProdId: 1, isvSvn: 1 } as const;

const DAY = 86_400_000;
const TCB_DATE = '2024-01-01T00:00:00Z';
const zeros = (bytes: number): string => '00'.repeat(bytes);
const rfc3339 = (time: number): string => `${new Date(time).toISOString().slice(0, 19)}Z`;

function tcbInfo(now: number, { tcbStatus = 'UpToDate', advisoryIds, fmspc = zeros(6) }: TcbOptions): unknown {
  const components = Array.from({ length: 16 }, () => ({ svn: 0 }));
  return {
    id: 'TDX',
    version: 3,
    issueDate: rfc3339(now - DAY),
    nextUpdate: rfc3339(now + 30 * DAY),
    fmspc,
    pceId: zeros(2),
    tcbType: 0,
    tcbEvaluationDataNumber: 1,
    tdxModule: { mrsigner: zeros(48), attributes: zeros(8), attributesMask: zeros(8) },
    tcbLevels: [
      {
        tcb: { sgxtcbcomponents: components, pcesvn: 0, tdxtcbcomponents: components },
        tcbDate: TCB_DATE,
        tcbStatus,
        ...(advisoryIds === undefined ? {} : { advisoryIDs: advisoryIds }),
      },
    ],
  };
}

function qeIdentity(now: number): unknown {
  return {
    id: 'TD_QE',
    version: 2,
    issueDate: rfc3339(now - DAY),
    nextUpdate: rfc3339(now + 30 * DAY),
    tcbEvaluationDataNumber: 1,
    miscselect: zeros(4),
    miscselectMask: zeros(4),
    attributes: zeros(16),
    attributesMask: zeros(16),
    mrsigner: QE_IDENTITY.mrSigner.toString(16).repeat(32),
    isvprodid: QE_IDENTITY.isvProdId,
    tcbLevels: [{ tcb: { isvsvn: QE_IDENTITY.isvSvn }, tcbDate: TCB_DATE, tcbStatus: 'UpToDate' }],
  };
}

/**
 * The signed text. Clients parse the document and serialise it again, some with sorted keys: text that is already
 * canonical survives both.
 */
function signed(document: unknown, key: MockKey): { text: string; signature: string } {
  const text = canonicalJson(document);
  return { text, signature: toHex(signRaw(key, Buffer.from(text))) };
}

/** Fresh collateral, valid from one day before `now` (milliseconds) to 30 days after it. */
export function mockCollateral(pki: MockPki, now: number = Date.now(), options: TcbOptions = {}): Collateral {
  const tcb = signed(tcbInfo(now, options), pki.keys.tcb);
  const qe = signed(qeIdentity(now), pki.keys.qe);
  return {
    pck_crl_issuer_chain: pemChain(pki.pckCa, pki.root),
    root_ca_crl: toHex(pki.rootCrl),
    pck_crl: toHex(pki.pckCrl),
    tcb_info_issuer_chain: pemChain(pki.tcb, pki.root),
    tcb_info: tcb.text,
    tcb_info_signature: tcb.signature,
    qe_identity_issuer_chain: pemChain(pki.qe, pki.root),
    qe_identity: qe.text,
    qe_identity_signature: qe.signature,
  };
}
