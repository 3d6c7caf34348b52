/** What a TD report and the body of a quote say of the guest itself, in the same layout: the start of TDINFO_STRUCT (Intel TDX module ABI). */
import { cut } from '../codec/bytes.ts';

export interface TdInfo {
  /** 8 bytes */
  readonly tdAttributes: Uint8Array;
  /** 8 bytes */
  readonly xfam: Uint8Array;
  /** 48 bytes, as all that follow */
  readonly mrtd: Uint8Array;
  readonly mrConfigId: Uint8Array;
  readonly mrOwner: Uint8Array;
  readonly mrOwnerConfig: Uint8Array;
  /** four registers of 48 bytes */
  readonly rtmrs: readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
}

/** @param start offset of the structure in `bytes`, which must hold its 400 bytes */
export function parseTdInfo(bytes: Uint8Array, start: number): TdInfo {
  const at = (offset: number, size: number): Uint8Array => cut(bytes, start + offset, start + offset + size);
  return {
    tdAttributes: at(0, 8),
    xfam: at(8, 8),
    mrtd: at(16, 48),
    mrConfigId: at(64, 48),
    mrOwner: at(112, 48),
    mrOwnerConfig: at(160, 48),
    rtmrs: [at(208, 48), at(256, 48), at(304, 48), at(352, 48)],
  };
}
