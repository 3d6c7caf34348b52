/** The layout of SGX quotes, version 3 (Intel SGX DCAP ECDSA quote library). */
import { cut } from '../codec/bytes.ts';
import { latin1 } from '../codec/text.ts';
import { DstackError } from '../errors.ts';

const HEADER_SIZE = 48;
const BODY_SIZE = 384;
const SIZE = { signature: 64, key: 64, report: 384 } as const;
const PCK_CHAIN = 5;

export interface SgxQuote {
  /** 16 bytes */
  readonly qeVendorId: Uint8Array;
  /** what the attestation key signed: header and body */
  readonly signed: Uint8Array;
  /** 32 bytes: the code of the enclave */
  readonly mrEnclave: Uint8Array;
  /** attributes of the enclave have the bit that allows debugging */
  readonly debug: boolean;
  /** r and s, 32 bytes each */
  readonly signature: Uint8Array;
  /** x and y, 32 bytes each */
  readonly attestationKey: Uint8Array;
  /** report of the quoting enclave, which its platform's PCK signed */
  readonly qeReport: Uint8Array;
  readonly qeSignature: Uint8Array;
  readonly qeAuthData: Uint8Array;
  /** PEM, leaf first */
  readonly pckChain: string;
}

/** True for the header of an SGX quote: version 3 to 5, TEE type 0. */
export function isSgxQuote(bytes: Uint8Array): boolean {
  const [version = 0, high, , , ...tee] = bytes.subarray(0, 8);
  return bytes.length >= HEADER_SIZE && version >= 3 && version <= 5 && high === 0 && tee.every((byte) => byte === 0);
}

/** @throws QUOTE_INVALID for another version, a size that does not fit, certification data without a PCK chain */
export function parseSgxLayout(quote: Uint8Array): SgxQuote {
  const refuse = (why: string): DstackError => new DstackError('QUOTE_INVALID', `the SGX quote ${why}`);
  const view = new DataView(quote.buffer, quote.byteOffset, quote.byteLength);
  if (view.getUint16(0, true) !== 3) throw refuse(`has version ${view.getUint16(0, true)}, not 3`);
  let at = HEADER_SIZE + BODY_SIZE + 4;
  const take = (size: number): Uint8Array => {
    if (at + size > quote.length) throw refuse('is cut short');
    at += size;
    return cut(quote, at - size, at);
  };
  const number = (size: 2 | 4): number => {
    const bytes = take(size);
    return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
  };
  const signature = take(SIZE.signature);
  const attestationKey = take(SIZE.key);
  const qeReport = take(SIZE.report);
  const qeSignature = take(SIZE.signature);
  const qeAuthData = take(number(2));
  const kind = number(2);
  if (kind !== PCK_CHAIN) throw refuse(`carries no PCK certificate chain, but certification data of type ${kind}`);
  return {
    qeVendorId: cut(quote, 12, 28),
    signed: cut(quote, 0, HEADER_SIZE + BODY_SIZE),
    mrEnclave: cut(quote, HEADER_SIZE + 64, HEADER_SIZE + 96),
    debug: ((quote[HEADER_SIZE + 48] ?? 0) & 2) !== 0,
    ...{ signature, attestationKey, qeReport, qeSignature, qeAuthData },
    pckChain: latin1(take(number(4))),
  };
}
