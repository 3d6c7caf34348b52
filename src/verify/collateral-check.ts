/**
 * Checks collateral before a quote is judged by it, so that bad collateral is never mistaken for a bad quote: chains,
 * signatures, dates and revocation lists (Intel PCS API v4). The library checks less: see docs/architecture.md.
 */

import { EMPTY_BYTES, sameBytes } from '../codec/bytes.ts';
import { fromHex } from '../codec/hex.ts';
import { utf8Bytes } from '../codec/text.ts';
import { Fields } from '../config/fields.ts';
import { parseStrictJson } from '../config/strict-json.ts';
import { DstackError } from '../errors.ts';
import {
  type Certificate,
  type Crl,
  checkChain,
  checkCrl,
  parseCrl,
  parsePemChain,
  publicKeyOf,
} from '../x509/x509.ts';
import type { Collateral } from './collateral-format.ts';
import type { PckPlatform } from './pck.ts';
import { parseTcbInfo, type TcbInfo, validity } from './tcb-info.ts';

export interface CheckedCollateral {
  readonly tcbInfo: TcbInfo;
  readonly rootCrl: Crl;
  readonly pckCrl: Crl;
  /** milliseconds: when the first part of it runs out */
  readonly validUntil: number;
}

const invalid = (what: string, cause?: unknown): DstackError => new DstackError('COLLATERAL_INVALID', what, { cause });

/** Names the part of the collateral a failure belongs to. */
function part<T>(name: string, check: () => T): T {
  try {
    return check();
  } catch (thrown) {
    if (thrown instanceof DstackError && thrown.code === 'COLLATERAL_INVALID') throw thrown;
    throw invalid(`${name} of the collateral is not acceptable`, thrown);
  }
}

/** Told the date (milliseconds) of a document and what it is, in words. */
export type SignedDate = (date: number, what: string) => void;

/**
 * @param at milliseconds
 * @param signed told the date of each part whose signature is good, before the date is judged
 * @throws COLLATERAL_INVALID when it is damaged, not signed under the root, not of this time, or for another platform
 */
export function checkCollateral(
  collateral: Collateral,
  root: Certificate,
  at: number,
  platform: PckPlatform,
  signed: SignedDate = () => {},
): CheckedCollateral {
  const rootCrl = part('root_ca_crl', () => {
    const crl = parseCrl(fromHex(collateral.root_ca_crl));
    checkCrl(crl, root, at);
    return crl;
  });
  const signer = (name: 'tcb_info' | 'qe_identity') =>
    part(name, () => {
      // exactly two: a longer chain would let a PCK certificate pose as a signer
      const chain = parsePemChain(collateral[`${name}_issuer_chain`]).slice(0, 3);
      if (chain.length !== 2) throw invalid(`${name}_issuer_chain does not hold a signer and its root`);
      checkChain(chain, { root, at, inOrder: true, lists: [rootCrl] });
      checkSignature(collateral[name], collateral[`${name}_signature`], chain[0] as Certificate);
    });
  signer('tcb_info');
  signer('qe_identity');
  const tcbInfo = part('tcb_info', () => parseTcbInfo(collateral.tcb_info));
  const identity = part('qe_identity', () => qeIdentityTimes(collateral.qe_identity));
  signed(tcbInfo.issued, 'the TCB info');
  signed(identity.issued, 'the QE identity');
  inTime('TCB info', tcbInfo, at);
  inTime('QE identity', identity, at);
  const pckCrl = part('pck_crl', () => pckCrlOf(collateral, root, at, platform));
  signed(rootCrl.thisUpdate, "the root's revocation list");
  signed(pckCrl.thisUpdate, 'the revocation list of the PCK certificates');
  if (platform.fmspc !== tcbInfo.fmspc || platform.pceId !== tcbInfo.pceId) {
    throw invalid(
      `the collateral is for platform ${tcbInfo.fmspc} (PCE ${tcbInfo.pceId}), the quote from ${platform.fmspc} (PCE ${platform.pceId})`,
    );
  }
  const validUntil = Math.min(tcbInfo.nextUpdate, identity.nextUpdate, rootCrl.nextUpdate, pckCrl.nextUpdate);
  return { tcbInfo, rootCrl, pckCrl, validUntil };
}

function checkSignature(text: string, signature: string, signer: Certificate): void {
  const bytes = fromHex(signature, { field: 'signature', length: 64 });
  if (!publicKeyOf(signer.spki).verify(utf8Bytes(text), bytes))
    throw invalid(`a signature of ${signer.commonName} is wrong`);
}

function qeIdentityTimes(text: string): { issued: number; nextUpdate: number } {
  const path = 'qe_identity';
  const fields = new Fields(parseStrictJson(text, path), { path });
  if (fields.string('id') !== 'TD_QE') fields.fail('id', 'must be TD_QE', fields.raw('id'));
  return validity(fields);
}

function inTime(name: string, { issued, nextUpdate }: { issued: number; nextUpdate: number }, at: number): void {
  const iso = (time: number) => new Date(time).toISOString();
  if (at < issued || at > nextUpdate) {
    throw invalid(`${name} is valid from ${iso(issued)} to ${iso(nextUpdate)}, not at ${iso(at)}`);
  }
}

/** The list must be of the very CA that issued the PCK certificate: Intel has two. */
function pckCrlOf(collateral: Collateral, root: Certificate, at: number, platform: PckPlatform): Crl {
  const chain = parsePemChain(collateral.pck_crl_issuer_chain);
  checkChain(chain, { root, at, inOrder: true, first: 'ca' });
  const [issuer] = chain as [Certificate];
  const crl = parseCrl(fromHex(collateral.pck_crl));
  checkCrl(crl, issuer, at);
  if (!sameBytes(issuer.spki, platform.chain[1]?.spki ?? EMPTY_BYTES)) {
    throw invalid(`pck_crl is of ${issuer.commonName}, the quote under ${platform.chain[1]?.commonName ?? 'no CA'}`);
  }
  return crl;
}
