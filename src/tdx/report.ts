/** The TD report: what the TDX module says about this guest, taken from the device (dstack measurement, TD report). */
import { cut } from '../codec/bytes.ts';
import { DstackError } from '../errors.ts';
import { TDX_DEVICE } from './platform.ts';
import { parseTdInfo, type TdInfo } from './td-info.ts';
import { deviceIoctl, pathOf, type TdxMachine } from './tdx-machine.ts';

/** _IOWR('T', 1, 1088 bytes): struct { u8 reportdata[64]; u8 tdreport[1024] } */
export const TDX_CMD_GET_REPORT0 = 0xc4405401;
export const REPORT_DATA_SIZE = 64;
export const TD_REPORT_SIZE = 1024;

/** The members of TDREPORT_STRUCT that this program reads (Intel TDX module ABI). */
export interface TdReport extends TdInfo {
  /** all 1024 bytes */
  readonly raw: Uint8Array;
  readonly reportData: Uint8Array;
}

/** Offsets in TDREPORT_STRUCT: REPORTMACSTRUCT at 0, TEE_TCB_INFO at 256, TDINFO at 512; mrtd and rtmr0 are members of TDINFO. */
export const REPORT_OFFSET = {
  reportData: 128,
  tdInfo: 512,
  mrtd: 528,
  rtmr0: 720,
} as const;

/** Checks the 64 bytes that a report or a quote binds. @throws REPORT_DATA_INVALID */
export function checkReportDataSize(reportData: Uint8Array): void {
  if (reportData.length !== REPORT_DATA_SIZE) {
    throw new DstackError(
      'REPORT_DATA_INVALID',
      `report data has ${reportData.length} bytes, not ${REPORT_DATA_SIZE}`,
      {
        field: 'report_data',
        value: reportData.length,
      },
    );
  }
}

/** Report data of the caller, padded with zero bytes to 64. @throws REPORT_DATA_INVALID when it is longer */
export function padReportData(bytes: Uint8Array): Uint8Array {
  if (bytes.length > REPORT_DATA_SIZE) {
    throw new DstackError('REPORT_DATA_INVALID', 'Report data is too long', {
      field: 'report_data',
      value: bytes.length,
    });
  }
  const out = new Uint8Array(REPORT_DATA_SIZE);
  out.set(bytes);
  return out;
}

/** Cuts a TDREPORT_STRUCT of 1024 bytes into its members. */
export function parseReport(raw: Uint8Array): TdReport {
  const { reportData, tdInfo } = REPORT_OFFSET;
  return { raw, reportData: cut(raw, reportData, reportData + REPORT_DATA_SIZE), ...parseTdInfo(raw, tdInfo) };
}

/**
 * Takes a TD report for 64 bytes of report data. It is only verifiable on this machine; a quote is made from it.
 * @throws REPORT_DATA_INVALID, QUOTE_UNAVAILABLE
 */
export async function takeReport(reportData: Uint8Array, machine: TdxMachine): Promise<TdReport> {
  checkReportDataSize(reportData);
  const device = pathOf(machine, TDX_DEVICE);
  const request = new Uint8Array(REPORT_DATA_SIZE + TD_REPORT_SIZE);
  request.set(reportData);
  try {
    await deviceIoctl(device, TDX_CMD_GET_REPORT0, request);
  } catch (thrown) {
    if (thrown instanceof DstackError) throw thrown;
    throw new DstackError('QUOTE_UNAVAILABLE', `cannot take a TD report from ${device}`, {
      path: device,
      cause: thrown,
    });
  }
  return parseReport(request.subarray(REPORT_DATA_SIZE));
}
