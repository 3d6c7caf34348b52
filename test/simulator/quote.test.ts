import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { mockCcel } from '../../simulator/mock-ccel.ts';
import { mockCollateral } from '../../simulator/mock-collateral.ts';
import { contentOfReport, mockQuote } from '../../simulator/mock-quote.ts';
import { mockPki } from '../../simulator/pki.ts';
import { initialRegisters, MOCK_MRTD } from '../../simulator/quoting-enclave.ts';
import { canonicalJson } from '../../src/codec/jcs.ts';
import { parseCcel } from '../../src/tdx/ccel.ts';
import { parseQuote } from '../../src/tdx/quote-layout.ts';
import { replay } from '../../src/tdx/replay.ts';
import { REPORT_OFFSET } from '../../src/tdx/report.ts';

// a CommonJS package: under Node its names are not visible to a static import
const { QuoteVerifier } = createRequire(import.meta.url)('@phala/dcap-qvl') as typeof import('@phala/dcap-qvl');

const PKI = mockPki(new Uint8Array(32).fill(0x31));
const OTHER = mockPki(new Uint8Array(32).fill(0x32));
const NOW = Date.parse('2026-03-01T12:00:00Z');
const DAY = 86_400_000;
const COLLATERAL = mockCollateral(PKI, NOW);

/** The TDREPORT the simulated device hands out. */
function report(): Uint8Array {
  const out = new Uint8Array(1024);
  out.set(new Uint8Array(64).fill(0x5c), REPORT_OFFSET.reportData);
  const registers = initialRegisters(mockCcel());
  out.set(registers.subarray(0, 48), REPORT_OFFSET.mrtd);
  out.set(registers.subarray(48), REPORT_OFFSET.rtmr0);
  return out;
}

const QUOTE = mockQuote(PKI, contentOfReport(report()));

function verify(quote = QUOTE, collateral = COLLATERAL, at = NOW, root = PKI.root) {
  return QuoteVerifier.newWithRootCa(Buffer.from(root)).verify(Buffer.from(quote), collateral, Math.floor(at / 1000));
}

describe('quotes', () => {
  it('pass standard DCAP verification against the mock root', () => {
    const verified = verify();
    expect(verified.status).toBe('UpToDate');
    expect(verified.advisory_ids).toEqual([]);
    expect(new Uint8Array(verified.report.asTd10()?.reportData ?? [])).toEqual(new Uint8Array(64).fill(0x5c));
  });

  it('carry the registers of the device', () => {
    const { body } = parseQuote(QUOTE);
    expect(body.mrtd).toEqual(MOCK_MRTD);
    const events = parseCcel(mockCcel());
    expect(body.rtmrs).toEqual([0, 1, 2, 3].map((imr) => replay(events, imr)));
    expect(body.rtmrs[3]).toEqual(new Uint8Array(48));
    expect(body.rtmrs.slice(0, 3).every((register) => register.some((byte) => byte !== 0))).toBe(true);
  });

  it('have a key of their own each, and are still valid', () => {
    const second = mockQuote(PKI, contentOfReport(report()));
    expect(second).not.toEqual(QUOTE);
    expect(verify(second).status).toBe('UpToDate');
  });

  it.each([
    ['report data', 568],
    ['RTMR3', 520],
    ['the attestation key', 720],
    ['the report of the quoting enclave', 900],
  ])('fail when %s is changed', (_, offset) => {
    const copy = Uint8Array.from(QUOTE);
    copy[offset] = (copy[offset] ?? 0) ^ 1;
    expect(() => verify(copy)).toThrowError();
  });

  it('fail against another root, with other collateral, and outside its time', () => {
    expect(() => verify(QUOTE, COLLATERAL, NOW, OTHER.root)).toThrowError();
    expect(() => verify(QUOTE, mockCollateral(OTHER, NOW))).toThrowError();
    expect(() => verify(QUOTE, COLLATERAL, NOW + 31 * DAY)).toThrowError(/expired/);
    expect(() => verify(QUOTE, COLLATERAL, NOW - 2 * DAY)).toThrowError(/future/);
    expect(() => QuoteVerifier.newProd().verify(Buffer.from(QUOTE), COLLATERAL, NOW / 1000)).toThrowError();
  });
});

describe('collateral', () => {
  it('is signed over canonical text, so that sorting its keys changes nothing', () => {
    for (const text of [COLLATERAL.tcb_info, COLLATERAL.qe_identity]) {
      expect(canonicalJson(JSON.parse(text))).toBe(text);
    }
    expect(JSON.parse(COLLATERAL.tcb_info)).toMatchObject({ issueDate: '2026-02-28T12:00:00Z', id: 'TDX', version: 3 });
  });

  it('depends on seed and time only', () => {
    expect(mockCollateral(PKI, NOW)).toEqual(COLLATERAL);
  });
});

describe('boot event log', () => {
  it('is the same in every boot and fills the area of the table', () => {
    expect(Buffer.compare(mockCcel(), mockCcel())).toBe(0);
    expect(mockCcel()).toHaveLength(65_536);
  });
});
