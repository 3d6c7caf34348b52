import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { mockCollateral } from '../../simulator/mock-collateral.ts';
import { mockPki } from '../../simulator/pki.ts';
import { toHex } from '../../src/codec/hex.ts';
import { type Attestation, encodeVersioned, strip } from '../../src/tdx/attestation.ts';
import { fullLogJson } from '../../src/tdx/log-json.ts';
import { EV_NO_ACTION, NO_REGISTER, type TdxEvent } from '../../src/tdx/tdx-event.ts';
import { sgxQuote } from '../net/sgx-host.ts';
import { pki } from '../simulator/kms/guest.ts';
import {
  answerOf,
  attestationOf,
  bootEvents,
  bytesOf,
  COMPOSE_HASH,
  FIRMWARE,
  judge,
  NOW,
  named,
  PKI,
  quoteOf,
  runtimeEvent,
} from './guest.ts';

const OTHER = mockPki(new Uint8Array(32).fill(0x32));
const DAY = 86_400_000;
const hexText = (bytes: Uint8Array): Uint8Array => new Uint8Array(Buffer.from(`${toHex(bytes)}\n`));
const V1 = encodeVersioned(attestationOf(bootEvents(2)));
const V0 = encodeVersioned(attestationOf());

/** The attestation with another event log. */
function withLog(change: (log: TdxEvent[]) => TdxEvent[], version: 1 | 2 = 1): Uint8Array {
  const attestation = attestationOf(bootEvents(version));
  const platform = attestation.platform as Extract<Attestation['platform'], { kind: 'tdx' }>;
  return encodeVersioned({ ...attestation, platform: { ...platform, eventLog: change([...platform.eventLog]) } });
}

describe('forms of evidence', () => {
  const events = bootEvents();
  it.each([
    ['a raw quote', quoteOf(events), 'quote', 'quote v4'],
    ['a quote in hex', hexText(quoteOf(events)), 'quote', 'quote v4 in hex'],
    ['a GetQuote answer', bytesOf(answerOf()), 'answer', 'answer of the agent'],
    ['a GetQuote answer of version 2 events', bytesOf(answerOf(bootEvents(2))), 'answer', 'answer of the agent'],
    ['an attestation V0', V0, 'attestation', 'attestation V0'],
    ['an attestation V1', V1, 'attestation', 'attestation V1'],
    ['an attestation in hex', hexText(V1), 'attestation', 'attestation V1 in hex'],
    [
      'an Attest answer',
      bytesOf({ attestation: toHex(V0) }),
      'attestation',
      'attestation V0 in an answer of the agent',
    ],
    ['a stripped attestation', encodeVersioned(strip(attestationOf(bootEvents(2)))), 'attestation', 'attestation V1'],
  ])('%s is recognised and valid', async (_, input, kind, form) => {
    const report = await judge(input);
    expect([report.verdict, ...named(report, 'fail'), ...named(report, 'unknown')]).toEqual(['valid']);
    expect(report.evidence).toMatchObject({ kind, form });
    expect(report.rows).toHaveLength(kind === 'quote' ? 0 : 10);
  });

  it.each([
    ['nothing', new Uint8Array()],
    ['text', new Uint8Array(Buffer.from('hello'))],
    ['other JSON', bytesOf({ quotes: '' })],
    ['JSON with a duplicate member', new Uint8Array(Buffer.from('{"quote":"00","quote":"0400"}'))],
    ['hex with an odd number of digits', new Uint8Array(Buffer.from(`${toHex(quoteOf(bootEvents()))}0`))],
    ['base64 of something else', new Uint8Array(Buffer.from(btoa('hello, world')))],
    ['a JSON string in a JSON string', bytesOf(JSON.stringify(toHex(quoteOf(bootEvents()))))],
    ['a JSON array that is not one of bytes', bytesOf([4, 0, 256])],
    ['gzip', gzipSync(quoteOf(bootEvents()))],
    ['UTF-16', new Uint8Array(Buffer.from(`\ufeff${toHex(V1)}`, 'utf16le'))],
    ['a private key', new Uint8Array(Buffer.from('-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'))],
    ['a quote cut short', quoteOf(bootEvents()).subarray(0, 700)],
    ['an attestation cut short', V1.subarray(0, 500)],
    ['a quote with something behind it', Uint8Array.from([...quoteOf(bootEvents()), 1])],
  ])('%s cannot be read, and is no crash and no verdict', async (_, input) => {
    const report = await judge(input);
    expect(report.verdict).toBe('unchecked');
    expect(report.checks.map(({ name, outcome, part }) => [name, outcome, part])).toEqual([
      ['input', 'unknown', 'input'],
    ]);
    expect(report.proof.machine.state).toBe('not proven');
  });

  const text = (value: string) => new Uint8Array(Buffer.from(value));
  const base64 = (bytes: Uint8Array, encoding: 'base64' | 'base64url' = 'base64') =>
    Buffer.from(bytes).toString(encoding);
  const wrapped = (value: string) => value.replace(/(.{64})/g, '$1\r\n');
  const QUOTE = quoteOf(events);
  it.each([
    ['base64', text(base64(QUOTE)), 'quote v4 in base64'],
    ['base64 in lines', text(`${wrapped(base64(QUOTE))}\n`), 'quote v4 in base64'],
    ['base64url', text(base64(QUOTE, 'base64url')), 'quote v4 in base64'],
    ['hex with 0x, blanks and lines', text(`0x${wrapped(toHex(QUOTE)).toUpperCase()} \n`), 'quote v4 in hex'],
    ['text behind a byte order mark', text(`\ufeff${toHex(QUOTE)}`), 'quote v4 in hex'],
    ['a JSON string of hex', bytesOf(`0x${toHex(QUOTE)}`), 'quote v4 in hex, in a JSON string'],
    ['a JSON string of base64', bytesOf(base64(QUOTE)), 'quote v4 in base64, in a JSON string'],
    ['a JSON string of a JSON text', bytesOf(JSON.stringify(answerOf())), 'answer of the agent, in a JSON string'],
    ['a JSON array of bytes', bytesOf([...QUOTE]), 'quote v4 as a JSON array'],
    ['PEM', text(`-----BEGIN TDX QUOTE-----\n${wrapped(base64(QUOTE))}\n-----END TDX QUOTE-----\n`), 'quote v4 in PEM'],
    ['an attestation in base64', text(base64(V1)), 'attestation V1 in base64'],
    ['an answer with base64 in it', bytesOf({ ...answerOf(), quote: base64(QUOTE) }), 'answer of the agent'],
    ['an answer with an array in it', bytesOf({ quote: [...QUOTE] }), 'answer of the agent'],
  ])('kept as %s are read', async (_, input, form) => {
    const report = await judge(input);
    expect([report.evidence?.form, report.verdict, ...named(report, 'unknown')]).toEqual([form, 'valid']);
  });

  it('of an SGX enclave are called so: never valid, and invalid only when spoiled', async () => {
    const quote = sgxQuote(new Uint8Array(32).fill(0xee), new Uint8Array(64));
    const root = pki.root;
    for (const input of [quote, text(base64(quote)), text(toHex(quote)), bytesOf({ quote: toHex(quote) })]) {
      const report = await judge(input, { root });
      expect([report.verdict, report.proof.machine.state]).toEqual(['unchecked', 'not proven']);
      expect(named(report, 'pass')).toEqual([expect.stringMatching(/^sgx-signature: its signatures lead to Mock/)]);
      expect(named(report, 'unknown').join()).toMatch(/^platform: .* quote of an SGX enclave \(MRENCLAVE (ee){32}\)/);
    }
    for (const at of [20, 112, 440, 510, 570, 800, 1100, 1900]) {
      const spoiled = Uint8Array.from(quote);
      spoiled[at] = (spoiled[at] ?? 0) ^ 1;
      expect([at, (await judge(spoiled, { root })).verdict]).toEqual([at, 'invalid']);
    }
    expect((await judge(quote)).verdict).toBe('invalid');
    expect((await judge(quote.subarray(0, 800), { root })).verdict).toBe('unchecked');
  });

  it('takes zeros behind a quote, and an event log from another file', async () => {
    expect((await judge(Uint8Array.from([...quoteOf(bootEvents()), 0, 0]))).verdict).toBe('valid');
    const log = bytesOf(fullLogJson([...FIRMWARE, ...attestationOf(bootEvents(2)).runtimeEvents.map(toLog)]));
    const report = await judge(quoteOf(bootEvents(2)), {
      eventLog: log,
      expect: [`compose-hash=${toHex(COMPOSE_HASH)}`],
    });
    expect([report.verdict, report.rows.length]).toEqual(['valid', 10]);
  });

  it('cannot judge other platforms', async () => {
    const other: Attestation = {
      ...attestationOf(),
      platform: { kind: 'sev-snp', report: new Uint8Array(8), certChain: [], mrConfig: '' },
    };
    expect((await judge(encodeVersioned(other))).verdict).toBe('unchecked');
  });
});

const toLog = (event: ReturnType<typeof runtimeEvent>): TdxEvent => ({
  imr: 3,
  eventType: 0x08000001,
  digest: new Uint8Array(),
  event: event.event,
  payload: event.payload,
  version: event.version,
});

describe('the quote', () => {
  const flip = (offset: number): Uint8Array => {
    const copy = Uint8Array.from(quoteOf(bootEvents()));
    copy[offset] = (copy[offset] ?? 0) ^ 1;
    return copy;
  };
  it.each([
    ['header', 20],
    ['MRTD', 190],
    ['RTMR3', 521],
    ['report data', 600],
    ['quote signature', 640],
    ['attestation key', 710],
    ['report of the quoting enclave', 800],
    ['authentication data', 1220],
    ['PCK certificate', 1500],
    ['PCK CA', 2400],
    ['root in the chain', 3200],
    ['last byte', quoteOf(bootEvents()).length - 1],
  ])('is refused with one bit flipped: %s', async (_, offset) => {
    expect((await judge(flip(offset))).verdict).toBe('invalid');
  });

  it('is refused from a quoting enclave of another vendor, however well signed', async () => {
    const report = await judge(quoteOf(bootEvents(), { qeVendorId: new Uint8Array(16).fill(1) }));
    expect(report.verdict).toBe('invalid');
    expect(named(report, 'fail').join()).toContain(`dcap: the quoting enclave is of vendor ${'01'.repeat(16)}`);
  });

  it('is refused under another root, and with a debuggable or foreign TD', async () => {
    const foreign = await judge(V0, { root: OTHER.root, collateral: mockCollateral(OTHER, NOW) });
    expect(named(foreign, 'fail')[0]).toMatch(/^dcap: the chain ends at "Mock Intel SGX Root CA"/);
    const debug = Uint8Array.from(quoteOf(bootEvents()));
    debug[168] = 1;
    expect(named(await judge(debug), 'fail').join()).toMatch(/td-debug: the TD can be debugged/);
    const seam = Uint8Array.from(quoteOf(bootEvents()));
    seam[112] = 1;
    expect(named(await judge(seam), 'fail').join()).toMatch(/seam-signer/);
  });
});

describe('the event log', () => {
  const drop = (report: Awaited<ReturnType<typeof judge>>) => named(report, 'fail').join('; ');

  it('names the event whose recorded digest belongs to another content', async () => {
    const report = await judge(
      withLog((log) =>
        log.map((event) => (event.event === 'app-id' ? { ...event, digest: new Uint8Array(48) } : event)),
      ),
    );
    expect(report.drift).toBe('event 2 (app-id): its recorded digest belongs to another content');
  });

  it('must replay: a changed payload, a missing and an added event are invalid', async () => {
    const events = bootEvents();
    const changed = events.map((e) => (e.event === 'compose-hash' ? runtimeEvent(e.event, new Uint8Array(32)) : e));
    for (const log of [changed, events.slice(0, -2), [...events, runtimeEvent('late', 'x')]]) {
      const report = await judge(bytesOf(answerOf(log, quoteOf(events))));
      expect(drop(report)).toMatch(/rtmr3-replay/);
    }
    const more = await judge(bytesOf(answerOf([...events, runtimeEvent('late', 'x')], quoteOf(events))));
    expect(drop(more)).toContain('RTMR3 is reached at event 10 (my-app)');
  });

  it('may hold entries that only inform, and they change nothing', async () => {
    const event = FIRMWARE[0] as TdxEvent;
    const inform = (imr: number): TdxEvent => ({ ...event, imr, eventType: EV_NO_ACTION });
    for (const imr of [0, 1, 2, 3, NO_REGISTER]) {
      const report = await judge(withLog((log) => [...log.slice(0, 3), inform(imr), ...log.slice(3)]));
      expect([report.verdict, ...named(report, 'fail')], `register ${imr}`).toEqual(['valid']);
    }
    const hidden = await judge(
      withLog((log) => log.map((entry, at) => (at === 3 ? { ...entry, eventType: EV_NO_ACTION } : entry))),
    );
    expect(drop(hidden)).toMatch(/firmware-replay: the log does not replay to RTMR0/);
  });

  it('holds nothing of an unknown kind', async () => {
    const event = FIRMWARE[0] as TdxEvent;
    for (const odd of [
      { ...event, imr: 3 },
      { ...event, imr: 4 },
      { ...event, imr: NO_REGISTER },
      { ...event, imr: 4, eventType: EV_NO_ACTION },
      { ...event, digest: new Uint8Array(32) },
    ]) {
      expect(drop(await judge(withLog((log) => [odd, ...log])))).toMatch(/^event-log: event 1 of the complete log/);
    }
    const lost = await judge(withLog((log) => log.slice(0, -1)));
    expect(drop(lost)).toContain('the two lists of runtime events differ at event 10 (my-app)');
  });

  it('must explain the firmware registers when it claims to', async () => {
    expect(drop(await judge(withLog((log) => log.slice(1))))).toContain(
      'firmware-replay: the log does not replay to RTMR0',
    );
  });

  it.each([
    ['no preimage', (event: TdxEvent) => ({ ...event, preimage: undefined }), 'has no preimage'],
    ['another preimage', (event: TdxEvent) => ({ ...event, preimage: '00' }), 'not its canonical form'],
    ['no digest', (event: TdxEvent) => ({ ...event, digest: new Uint8Array() }), 'has a digest that is not'],
  ])('with version 2 events, refuses %s', async (_, change, message) => {
    const damaged = (log: TdxEvent[]) => log.map((e) => (e.event === 'app-id' ? (change(e) as TdxEvent) : e));
    expect(drop(await judge(withLog(damaged, 2)))).toContain(message);
  });

  it.each([
    [
      'an unknown event during the boot',
      (e: ReturnType<typeof bootEvents>) => e.toSpliced(3, 0, runtimeEvent('odd', 'x')),
      'event 4 (odd)',
    ],
    [
      'a second app-id',
      (e: ReturnType<typeof bootEvents>) => e.toSpliced(3, 0, runtimeEvent('app-id', new Uint8Array(20))),
      'event 4 (app-id): the boot measures it once',
    ],
    [
      'another order',
      (e: ReturnType<typeof bootEvents>) => [...e.slice(1, 2), ...e.slice(0, 1), ...e.slice(2)],
      'event 2 (system-preparing): it stands behind',
    ],
    [
      'a short compose hash',
      (e: ReturnType<typeof bootEvents>) => e.with(2, runtimeEvent('compose-hash', 'x')),
      'payload has 1 bytes',
    ],
  ])('names %s', async (_, change, message) => {
    const report = await judge(bytesOf(answerOf(change(bootEvents()))));
    expect(report.verdict).toBe('invalid');
    expect(report.drift).toContain(message);
  });

  it('takes an event of the boot that the user pins, and anything after the boot', async () => {
    const events = bootEvents().toSpliced(3, 0, runtimeEvent('odd', 'x'));
    expect((await judge(bytesOf(answerOf(events)), { expect: ['event odd=78'] })).verdict).toBe('valid');
    const after = [...bootEvents(), runtimeEvent('app-id', 'whatever')];
    expect((await judge(bytesOf(answerOf(after)))).verdict).toBe('valid');
  });
});

describe('report data', () => {
  it('must be what stands beside the quote', async () => {
    const answer = { ...answerOf(), report_data: '00' };
    expect(named(await judge(bytesOf(answer)), 'fail').join()).toMatch(
      /^report-data: the quote is for report data 7777/,
    );
  });

  it('of stack dstack-pod is the hash of its payload', async () => {
    const payload = (text: string) => encodeVersioned({ ...attestationOf(), reportDataPayload: text });
    expect(named(await judge(payload('x')), 'fail').join()).toMatch(
      /report-data: the report data is not the app-data hash/,
    );
  });
});

describe('expectations', () => {
  const app = '01'.repeat(20);
  it('that hold leave the evidence valid', async () => {
    const pins = [
      `app-id=0x${app}`,
      'key-provider=none',
      'event storage-fs=65787434',
      `report-data=${'77'.repeat(64)}`,
    ];
    const report = await judge(V0, { expect: pins });
    expect(report.verdict).toBe('valid');
    expect(report.rows.find(({ event }) => event === 'storage-fs')?.state).toBe('pinned');
  });

  it.each([
    [`app-id=${'02'.repeat(20)}`, 'expect app-id: is 0101'],
    ['rtmr0=00', 'expect rtmr0'],
    ['key-provider=kms', 'expect key-provider: is none:'],
    ['event storage-fs=00', 'expect event storage-fs: event 8 has 65787434'],
    ['event never=00', 'expect event never: it was never measured'],
  ])('%s that fails makes it invalid', async (pin, message) => {
    const report = await judge(V0, { expect: [pin] });
    expect(report.verdict).toBe('invalid');
    expect(named(report, 'fail').join()).toContain(message);
  });

  it('of events without a log, and of a device without a genuine quote, stay open', async () => {
    for (const pin of [`app-id=${app}`, 'event x=00', 'key-provider=none']) {
      expect((await judge(quoteOf(bootEvents()), { expect: [pin] })).verdict).toBe('unchecked');
    }
    const old = await judge(V0, { expect: ['device-id=00'], at: NOW + 60 * DAY });
    expect(named(old, 'unknown')).toContainEqual(expect.stringContaining('expect device-id'));
  });

  describe('of a prediction', () => {
    const predicted = bootEvents().map(({ event, payload }) => ({ event, payload: toHex(payload) as string | null }));
    const against = (events: typeof predicted) => judge(V0, { predicted: events });

    it('hold for the very events, with unknown payloads and with more events behind them', async () => {
      const report = await against(predicted.slice(0, 9).map((e, i) => (i === 4 ? { ...e, payload: null } : e)));
      expect(report.verdict).toBe('valid');
      expect(report.rows.map(({ state }) => state).join()).toBe(
        `${'pinned,'.repeat(4)}known,${'pinned,'.repeat(4)}app`,
      );
    });

    it.each([
      [
        'another payload',
        predicted.with(2, { event: 'compose-hash', payload: '00' }),
        'event 3 (compose-hash): predicted is 00',
      ],
      ['another event', predicted.toSpliced(3, 1), 'event 4 (gpu-policy-hash): predicted is instance-id here'],
      ['a missing event', [...predicted, { event: 'more', payload: '' }], 'event 11 (more) was not measured'],
    ])('name %s', async (_, events, message) => {
      const report = await against(events);
      expect([report.verdict, named(report, 'fail').join()]).toEqual(['invalid', expect.stringContaining(message)]);
    });
  });

  it('device ids are the hash of the PPID', async () => {
    const { createHash } = await import('node:crypto');
    const id = createHash('sha256').update(new Uint8Array(16)).digest('hex');
    expect((await judge(V0, { expect: [`device-id=${id}`] })).verdict).toBe('valid');
    expect(PKI.root.length).toBeGreaterThan(0);
  });
});
