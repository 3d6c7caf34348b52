/**
 * DCAP collateral: what Intel says about a platform, in the JSON shape of dcap-qvl (CRLs and signatures as hex text or as
 * arrays of bytes; TCB info and QE identity as the exact text that is signed).
 */
import { fromHex, toHex } from '../codec/hex.ts';
import { Fields } from '../config/fields.ts';
import { parseStrictJsonBytes } from '../config/strict-json.ts';
import { DstackError } from '../errors.ts';

/** Everything as text; bytes as lower-case hex. */
export interface Collateral {
  readonly pck_crl_issuer_chain: string;
  /** DER */
  readonly root_ca_crl: string;
  /** DER */
  readonly pck_crl: string;
  readonly tcb_info_issuer_chain: string;
  readonly tcb_info: string;
  /** r | s */
  readonly tcb_info_signature: string;
  readonly qe_identity_issuer_chain: string;
  readonly qe_identity: string;
  /** r | s */
  readonly qe_identity_signature: string;
  /** PCK chain in PEM, for quotes that carry none */
  readonly pck_certificate_chain?: string;
}

/** Largest collateral file in bytes: Intel's is some 20 KB. */
export const COLLATERAL_LIMIT = 1024 * 1024;

/** Reads a collateral file. @throws COLLATERAL_INVALID naming the member */
export function parseCollateral(bytes: Uint8Array, path: string): Collateral {
  try {
    return fromFields(new Fields(parseStrictJsonBytes(bytes, path), { path }));
  } catch (thrown) {
    throw new DstackError('COLLATERAL_INVALID', `${path} is not DCAP collateral`, { path, cause: thrown });
  }
}

function fromFields(fields: Fields): Collateral {
  const chain = fields.optionalString('pck_certificate_chain');
  return {
    pck_crl_issuer_chain: fields.string('pck_crl_issuer_chain'),
    root_ca_crl: hexOf(fields, 'root_ca_crl'),
    pck_crl: hexOf(fields, 'pck_crl'),
    tcb_info_issuer_chain: fields.string('tcb_info_issuer_chain'),
    tcb_info: fields.string('tcb_info'),
    tcb_info_signature: hexOf(fields, 'tcb_info_signature'),
    qe_identity_issuer_chain: fields.string('qe_identity_issuer_chain'),
    qe_identity: fields.string('qe_identity'),
    qe_identity_signature: hexOf(fields, 'qe_identity_signature'),
    ...(chain === undefined ? {} : { pck_certificate_chain: chain }),
  };
}

/** Hex text, or an array of bytes as the library's own fetcher writes it. */
function hexOf(fields: Fields, field: string): string {
  if (!Array.isArray(fields.raw(field))) return toHex(fromHex(fields.string(field), { field }));
  const bytes = fields.array(field);
  if (!bytes.every((byte) => Number.isInteger(byte) && (byte as number) >= 0 && (byte as number) <= 255)) {
    fields.fail(field, 'must be hex text or an array of bytes');
  }
  return toHex(Uint8Array.from(bytes as number[]));
}
