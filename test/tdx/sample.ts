/** Evidence made by our own simulator, as test input. */

import { mockCcel } from '../../simulator/mock-ccel.ts';
import { mockQuote, type QuoteContent } from '../../simulator/mock-quote.ts';
import { mockPki } from '../../simulator/pki.ts';
import type { Attestation } from '../../src/tdx/attestation.ts';
import { parseCcel } from '../../src/tdx/ccel.ts';
import type { RuntimeEvent } from '../../src/tdx/events.ts';
import { toTdxEvent } from '../../src/tdx/tdx-event.ts';

export const PKI = mockPki(new Uint8Array(32).fill(0x31));

/** A register whose 48 bytes are all the same. */
export const register = (byte: number): Uint8Array => new Uint8Array(48).fill(byte);

export function sampleQuote(content: Partial<QuoteContent> = {}): Uint8Array {
  return mockQuote(PKI, {
    mrtd: register(0x11),
    rtmrs: [register(0xa0), register(0xa1), register(0xa2), register(0xa3)],
    reportData: new Uint8Array(64).fill(0x77),
    ...content,
  });
}

export const runtimeEvent = (event: string, payload: Uint8Array | string = '', version: 1 | 2 = 1): RuntimeEvent => ({
  event,
  payload: Uint8Array.from(Buffer.from(payload)),
  version,
});

export function sampleAttestation(version: 1 | 2 = 1, quote = sampleQuote()): Attestation {
  const runtimeEvents = [
    runtimeEvent('system-preparing', '', version),
    runtimeEvent('app-id', new Uint8Array(20).fill(1), version),
    runtimeEvent('compose-hash', new Uint8Array(32).fill(2), version),
    runtimeEvent('system-ready', '', version),
  ];
  return {
    platform: { kind: 'tdx', quote, eventLog: [...parseCcel(mockCcel()), ...runtimeEvents.map(toTdxEvent)] },
    reportData: new Uint8Array(64).fill(0x77),
    runtimeEvents,
    config: '{"os_image_hash":"abcd"}',
  };
}
