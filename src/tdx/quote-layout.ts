/** The layout of TDX quotes, versions 4 and 5 (Intel TDX DCAP quote generation library; dstack measurement, quote layout). */
import { cut } from '../codec/bytes.ts';
import { DstackError } from '../errors.ts';
import { parseTdInfo, type TdInfo } from './td-info.ts';

export interface TdQuoteBody extends TdInfo {
  readonly teeTcbSvn: Uint8Array;
  readonly mrSeam: Uint8Array;
  readonly mrSignerSeam: Uint8Array;
  readonly seamAttributes: Uint8Array;
  /** 64 bytes */
  readonly reportData: Uint8Array;
  /** TDX 1.5 only (version 5, body type 3) */
  readonly teeTcbSvn2?: Uint8Array;
  readonly mrServiceTd?: Uint8Array;
}

export interface TdQuote {
  readonly version: 4 | 5;
  readonly attestationKeyType: number;
  readonly qeSvn: number;
  readonly pceSvn: number;
  /** 16 bytes */
  readonly qeVendorId: Uint8Array;
  /** 20 bytes */
  readonly userData: Uint8Array;
  /** version 5: 2 = TDX 1.0, 3 = TDX 1.5; version 4 has no such field and reads as 2 */
  readonly bodyType: 2 | 3;
  readonly body: TdQuoteBody;
  /** number of leading bytes that the quote signature covers */
  readonly signedLength: number;
  /** signature, attestation key and certification data, not taken apart further */
  readonly authData: Uint8Array;
}

/** Offset of report_data in a version 4 quote. */
export const V4_REPORT_DATA_OFFSET = 568;
const HEADER_SIZE = 48;
const TEE_TYPE_TDX = 0x81;
const BODY_SIZE = { 2: 584, 3: 648 } as const;

/** Cuts a quote into its fields. Bytes behind the authentication data are ignored. @throws QUOTE_INVALID */
export function parseQuote(quote: Uint8Array): TdQuote {
  const view = new DataView(quote.buffer, quote.byteOffset, quote.byteLength);
  const need = (end: number): void => {
    if (quote.length < end) throw refuse('size', quote.length, `has ${quote.length} bytes, at least ${end} are needed`);
  };
  need(HEADER_SIZE + 6);
  const version = view.getUint16(0, true);
  if (version !== 4 && version !== 5) throw refuse('version', version, `has version ${version}, not 4 or 5`);
  const teeType = view.getUint32(4, true);
  if (teeType !== TEE_TYPE_TDX) throw refuse('tee_type', teeType, `has TEE type 0x${teeType.toString(16)}, not 0x81`);
  let bodyType: 2 | 3 = 2;
  let start = HEADER_SIZE;
  if (version === 5) {
    const type = view.getUint16(HEADER_SIZE, true);
    if (type !== 2 && type !== 3) throw refuse('body_type', type, `has body type ${type}, not 2 or 3`);
    bodyType = type;
    const size = view.getUint32(HEADER_SIZE + 2, true);
    if (size !== BODY_SIZE[bodyType]) throw refuse('body_size', size, `has a body of ${size} bytes`);
    start += 6;
  }
  const end = start + BODY_SIZE[bodyType];
  need(end + 4);
  const authLength = view.getUint32(end, true);
  need(end + 4 + authLength);
  return {
    version,
    attestationKeyType: view.getUint16(2, true),
    qeSvn: view.getUint16(8, true),
    pceSvn: view.getUint16(10, true),
    qeVendorId: cut(quote, 12, 28),
    userData: cut(quote, 28, 48),
    bodyType,
    body: parseBody(quote.subarray(start, end)),
    signedLength: end,
    authData: cut(quote, end + 4, end + 4 + authLength),
  };
}

function refuse(field: string, value: number, why: string): DstackError {
  return new DstackError('QUOTE_INVALID', `quote ${why}`, { field, value });
}

function parseBody(body: Uint8Array): TdQuoteBody {
  const at = (offset: number, size: number): Uint8Array => cut(body, offset, offset + size);
  return {
    teeTcbSvn: at(0, 16),
    mrSeam: at(16, 48),
    mrSignerSeam: at(64, 48),
    seamAttributes: at(112, 8),
    ...parseTdInfo(body, 120),
    reportData: at(520, 64),
    ...(body.length === BODY_SIZE[3] ? { teeTcbSvn2: at(584, 16), mrServiceTd: at(600, 48) } : {}),
  };
}
