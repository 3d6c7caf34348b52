/** Evidence of a guest that exists on paper only, made by the simulator; every part can be changed. */

import { mockCcel } from '../../simulator/mock-ccel.ts';
import { mockCollateral } from '../../simulator/mock-collateral.ts';
import { mockQuote, type QuoteContent } from '../../simulator/mock-quote.ts';
import { type MockPki, mockPki } from '../../simulator/pki.ts';
import { toHex } from '../../src/codec/hex.ts';
import type { Attestation } from '../../src/tdx/attestation.ts';
import { parseCcel } from '../../src/tdx/ccel.ts';
import type { RuntimeEvent } from '../../src/tdx/events.ts';
import { quoteLogJson } from '../../src/tdx/log-json.ts';
import { replay, replayRuntime } from '../../src/tdx/replay.ts';
import { type TdxEvent, toTdxEvent, withPreimage } from '../../src/tdx/tdx-event.ts';
import type { Collateral } from '../../src/verify/collateral-format.ts';
import type { ExpectedEvent } from '../../src/verify/event-rows.ts';
import { parseExpectations } from '../../src/verify/expectations.ts';
import { allowedStatuses } from '../../src/verify/tcb-policy.ts';
import { type VerifyOptions, type VerifyReport, verifyEvidence } from '../../src/verify/verify-evidence.ts';
import { parseCertificate } from '../../src/x509/x509.ts';

export const PKI = mockPki(new Uint8Array(32).fill(0x31));
export const NOW = Date.parse('2026-03-01T12:00:00Z');
export const ROOT = parseCertificate(PKI.root);
export const COLLATERAL = mockCollateral(PKI, NOW);
export const REPORT_DATA = new Uint8Array(64).fill(0x77);
export const COMPOSE_HASH = new Uint8Array(32).fill(2);
export const VM_CONFIG = '{"os_image_hash":"abcd"}';

export const runtimeEvent = (event: string, payload: Uint8Array | string = '', version: 1 | 2 = 1): RuntimeEvent => ({
  event,
  payload: Uint8Array.from(Buffer.from(payload)),
  version,
});

export const bootEvents = (version: 1 | 2 = 1): RuntimeEvent[] => [
  runtimeEvent('system-preparing', '', version),
  runtimeEvent('app-id', new Uint8Array(20).fill(1), version),
  runtimeEvent('compose-hash', COMPOSE_HASH, version),
  runtimeEvent('gpu-policy-hash', new Uint8Array(32).fill(3), version),
  runtimeEvent('instance-id', new Uint8Array(20).fill(4), version),
  runtimeEvent('boot-mr-done', '', version),
  runtimeEvent('key-provider', '{"name":"none","id":""}', version),
  runtimeEvent('storage-fs', 'ext4', version),
  runtimeEvent('system-ready', '', version),
  runtimeEvent('my-app', 'hello', version),
];

export const FIRMWARE = parseCcel(mockCcel());

/** A quote whose registers are those of the events. */
export function quoteOf(
  events: readonly RuntimeEvent[],
  content: Partial<QuoteContent> = {},
  pki: MockPki = PKI,
): Uint8Array {
  return mockQuote(pki, {
    mrtd: new Uint8Array(48).fill(0x11),
    rtmrs: [replay(FIRMWARE, 0), replay(FIRMWARE, 1), replay(FIRMWARE, 2), replayRuntime(events)],
    reportData: REPORT_DATA,
    ...content,
  });
}

export function attestationOf(events = bootEvents(), changes: Partial<QuoteContent> = {}): Attestation {
  const eventLog: TdxEvent[] = [...FIRMWARE, ...events.map(toTdxEvent).map(withPreimage)];
  return {
    platform: { kind: 'tdx', quote: quoteOf(events, changes), eventLog },
    reportData: changes.reportData ?? REPORT_DATA,
    runtimeEvents: events,
    config: VM_CONFIG,
  };
}

/** What GetQuote answers. */
export function answerOf(events = bootEvents(), quote = quoteOf(events)): Record<string, string> {
  return {
    quote: toHex(quote),
    event_log: quoteLogJson([...FIRMWARE, ...events.map(toTdxEvent)]),
    report_data: toHex(REPORT_DATA),
    vm_config: VM_CONFIG,
  };
}

export interface JudgeOptions {
  readonly at?: number;
  readonly expect?: readonly string[];
  readonly predicted?: readonly ExpectedEvent[];
  readonly allow?: readonly string[];
  readonly root?: Uint8Array;
  readonly collateral?: Collateral;
  /** where the collateral is said to come from */
  readonly source?: string;
  readonly eventLog?: Uint8Array;
  readonly allowUnencrypted?: boolean;
  /** default true: most tests ask another question */
  readonly anyApp?: boolean;
  readonly system?: VerifyOptions['system'];
}

export const bytesOf = (value: unknown): Uint8Array => new Uint8Array(Buffer.from(JSON.stringify(value)));

/** Verifies with the mock root and its collateral. */
export function judge(input: Uint8Array, options: JudgeOptions = {}): Promise<VerifyReport> {
  return verifyEvidence(input, {
    root: options.root === undefined ? ROOT : parseCertificate(options.root),
    at: options.at ?? NOW,
    allowed: allowedStatuses(options.allow ?? []),
    expect: {
      ...parseExpectations(options.expect ?? []),
      ...(options.predicted ? { predicted: options.predicted } : {}),
    },
    collateral: async () => ({ collateral: options.collateral ?? COLLATERAL, source: options.source ?? 'test' }),
    eventLog: options.eventLog,
    allowUnencrypted: options.allowUnencrypted,
    anyApp: options.anyApp ?? true,
    system: options.system,
  });
}

/** `name: detail` of every check with this outcome. */
export const named = (report: VerifyReport, outcome: string): string[] =>
  report.checks.filter((check) => check.outcome === outcome).map(({ name, detail }) => `${name}: ${detail}`);
