import { describe, expect, it } from 'vitest';
import { compare, replays } from '../../initramfs/vm/checks.ts';
import { proofOf } from '../../initramfs/vm/host-verifier.ts';
import { isGood, type Summary, summaryJson, summaryText } from '../../initramfs/vm/summary.ts';
import { toHex } from '../../src/codec/hex.ts';
import { eventDigest, extend, type RuntimeEvent } from '../../src/tdx/events.ts';
import { fullLogJson } from '../../src/tdx/log-json.ts';
import { toTdxEvent } from '../../src/tdx/tdx-event.ts';

const events: RuntimeEvent[] = ['system-preparing', 'app-id', 'system-ready'].map((event, index) => ({
  event,
  payload: new Uint8Array(index),
  version: 1,
}));
const register = toHex(events.map(eventDigest).reduce(extend, new Uint8Array(48)));
const log = JSON.stringify(fullLogJson(events.map(toTdxEvent)));
const info = { app_id: 'aa'.repeat(20), instance_id: '' };

describe('compare', () => {
  it('replays the log to the register', () => {
    const measured = compare(info, register, log);
    expect(measured.events).toEqual(['system-preparing', 'app-id', 'system-ready']);
    expect(replays(measured)).toBe(true);
  });

  it('sees a missing event and a changed payload, whatever digest the log claims', () => {
    const entries = JSON.parse(log);
    expect(replays(compare(info, register, JSON.stringify(entries.slice(1))))).toBe(false);
    entries[1].event_payload = 'ff';
    expect(replays(compare(info, register, JSON.stringify(entries)))).toBe(false);
  });
});

describe('the summary', () => {
  const demo = {
    app_id: info.app_id,
    instance_id: '',
    public_key: '11'.repeat(32),
    report_data: '22'.repeat(32),
    quote_bytes: 4800,
    quote_contains_report_data: true,
  };
  const good: Summary = {
    measured: compare(info, register, log),
    demo,
    keyAnswered: true,
    agentUrl: 'http://127.0.0.1:8090/',
    appUrls: ['http://127.0.0.1:8080/'],
    consoleLog: '.cache/vm/demo/console.log',
    readyMs: 41_200,
  };

  it('is good only if everything is', () => {
    expect(isGood(good)).toBe(true);
    const { demo: _, ...ownApp } = good;
    expect(isGood(ownApp)).toBe(true);
    const proven = { system: true, app: true, why: [] };
    expect(isGood({ ...good, proof: proven })).toBe(true);
    const bad: Partial<Summary>[] = [
      { proof: { ...proven, system: false } },
      { proof: { ...proven, app: false } },
      { keyAnswered: false },
      { measured: { ...good.measured, rtmr3: '00'.repeat(48) } },
      { demo: { ...demo, quote_contains_report_data: false } },
      { demo: { ...demo, app_id: 'bb'.repeat(20) } },
      { demo: { ...demo, public_key: '' } },
    ];
    for (const change of bad) expect(isGood({ ...good, ...change }), JSON.stringify(change)).toBe(false);
  });

  it('says where everything is, in words and as JSON', () => {
    const text = summaryText(good);
    for (const part of [info.app_id, '(none)', register, '✓ replays from 3 events', 'http://127.0.0.1:8080/']) {
      expect(text).toContain(part);
    }
    const keys = { provider: 'kms', id: `30${'ab'.repeat(90)}`, disk: 'opened again' } as const;
    expect(summaryText({ ...good, keys })).toMatch(/keys from\s+kms …(ab){16}\n\s+data disk\s+opened again/);
    expect(summaryText({ ...good, keys: { provider: 'none', id: '', disk: 'new' } })).toMatch(/keys from\s+none\n/);
    expect(summaryJson({ ...good, keys })).toMatchObject({ keys });
    expect(summaryText({ ...good, keyAnswered: false })).toContain('✗ does not answer');
    expect(summaryJson(good)).toMatchObject({ ok: true, app_id: info.app_id, rtmr3_replays: true, ready_ms: 41_200 });
  });
});

describe('a narrow terminal', () => {
  const summary: Summary = {
    measured: compare(info, register, log),
    demo: { ...info, public_key: '11'.repeat(32), report_data: '', quote_bytes: 1, quote_contains_report_data: true },
    keyAnswered: true,
    agentUrl: 'http://127.0.0.1:8090/',
    appUrls: [],
    consoleLog: '.cache/vm/demo/console.log',
    readyMs: 1,
  };

  it('gets no line that wraps', () => {
    const text = summaryText(summary, undefined, 80);
    for (const line of text.split('\n')) expect(line.length, line).toBeLessThan(81);
    expect(text).toContain(`RTMR3        ${register.slice(0, 48)}\n               ${register.slice(48)}\n`);
    expect(summaryText(summary)).toContain(register);
  });
});

describe('what verify says', () => {
  const checks = [
    { name: 'dcap', outcome: 'pass', detail: 'all good' },
    { name: 'rtmr1', outcome: 'fail', detail: 'another kernel' },
  ];

  it('proves a system only by a valid report that says so', () => {
    const report = { verdict: 'valid', checks: [], system: { verdict: 'proven' } };
    expect(proofOf(report)).toEqual({ system: true, app: true, why: [] });
    expect(proofOf({ ...report, system: { verdict: 'consistent' } }).system).toBe(false);
    expect(proofOf({ ...report, system: null })).toMatchObject({ system: false, app: true });
    expect(proofOf({ ...report, verdict: 'unchecked' })).toMatchObject({ system: false, app: false });
  });

  it('is told with its reasons', () => {
    const proof = proofOf({ verdict: 'invalid', checks, system: { verdict: 'refused' } });
    expect(proof).toEqual({ system: false, app: false, why: ['rtmr1: another kernel'] });
  });
});
