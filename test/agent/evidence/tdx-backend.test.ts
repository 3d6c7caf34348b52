/** The services with the real backend, on a fake of the kernel's interfaces that obeys the kernel's rules. */

import { X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mockCcel } from '../../../simulator/mock-ccel.ts';
import { mockQuote } from '../../../simulator/mock-quote.ts';
import { tdxBackend } from '../../../src/agent/evidence/tdx-backend.ts';
import { rpcHandler } from '../../../src/agent/rpc/rpc.ts';
import { guestService } from '../../../src/agent/services/guest-service.ts';
import { type AgentState, loadState } from '../../../src/agent/state.ts';
import { loadAgentConfig } from '../../../src/config/agent-config.ts';
import { setNative } from '../../../src/sys/native.ts';
import { decodeVersioned, tdxEventLog } from '../../../src/tdx/attestation.ts';
import { type EventLogOptions, emitEvent, setEventVersion } from '../../../src/tdx/event-log.ts';
import { parseQuote } from '../../../src/tdx/quote-layout.ts';
import { replayRuntime } from '../../../src/tdx/replay.ts';
import { realTdxMachine } from '../../../src/tdx/tdx-machine.ts';
import { OID, readExtension } from '../../../src/x509/x509.ts';
import { fakeNative } from '../../tdx/fake-native.ts';
import { FakeTsm } from '../../tdx/fake-tsm.ts';
import { PKI } from '../../tdx/sample.ts';
import { type Guest, makeGuest } from '../canned.ts';

let root: string;
let guest: Guest;
let fake: FakeTsm;
let state: AgentState;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'agent-tdx-'));
  for (const [path, content] of [
    ['dev/tdx_guest', ''],
    ['sys/firmware/acpi/tables/data/CCEL', mockCcel()],
  ] as const) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  fake = new FakeTsm({
    reportDir: `${root}/sys/kernel/config/tsm/report`,
    measurementsDir: `${root}/sys/devices/virtual/misc/tdx_guest/measurements`,
    quote: (reportData, { registers }) =>
      mockQuote(PKI, { mrtd: new Uint8Array(48).fill(0x11), rtmrs: [...registers], reportData }),
  });
  setNative(fakeNative());
  const system: EventLogOptions = { ...realTdxMachine, root, files: fake, dir: join(root, 'log') };
  await setEventVersion(1, system);
  for (const [name, payload] of [
    ['app-id', new Uint8Array(20).fill(1)],
    ['system-ready', new Uint8Array(0)],
  ] as const)
    await emitEvent(name, payload, system);
  guest = await makeGuest();
  const canned = await loadState(await loadAgentConfig({ file: guest.configFile, root: guest.dir, cwd: guest.dir }));
  state = { ...canned, backend: tdxBackend('{"os_image_hash":"abcd"}', system) };
});
afterEach(() => {
  setNative(undefined);
  guest.remove();
  rmSync(root, { recursive: true });
});

async function call(method: string, body: unknown = {}) {
  const handler = rpcHandler('DstackGuest', guestService(state), { base: '/' });
  const text = new TextEncoder().encode(JSON.stringify(body));
  const answer = await handler({
    method: 'POST',
    path: `/${method}`,
    query: 'json',
    headers: {},
    body: () => text,
  });
  return { status: answer.status, value: JSON.parse(Buffer.from(answer.body as Uint8Array).toString()) };
}
/** struct { u8 reportdata[64]; u8 tdreport[1024] }: MRTD and the registers inside TDINFO */
const reportOf = (tsm: FakeTsm) => (_: number, request: number, argument: Uint8Array) => {
  if (request !== 0xc4405401) throw Object.assign(new Error('ENOTTY'), { code: 'ENOTTY' });
  argument.set(new Uint8Array(48).fill(0x11), 64 + 528);
  for (const [index, register] of tsm.registers.entries()) argument.set(register, 64 + 720 + 48 * index);
};

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));

describe('the agent on a TDX guest', () => {
  it('quotes with a stripped event log and no attestation', async () => {
    const { value } = await call('GetQuote', { report_data: 'ff' });
    expect(Object.keys(value)).toEqual(['quote', 'event_log', 'report_data', 'vm_config']);
    expect(parseQuote(bytes(value.quote)).body.reportData[0]).toBe(0xff);
    const ready = JSON.parse(value.event_log).at(-1);
    expect(ready).toMatchObject({ event: 'system-ready', digest: '', imr: 3 });
    expect(value.vm_config).toBe('{"os_image_hash":"abcd"}');
  });

  it('measures events of the app into RTMR3 and shows them from then on', async () => {
    expect(await call('EmitEvent', { event: 'my-event', payload: '0102' })).toEqual({ status: 200, value: null });
    const { attestation } = decodeVersioned(bytes((await call('Attest')).value.attestation));
    expect(attestation.runtimeEvents.at(-1)).toMatchObject({ event: 'my-event', payload: Uint8Array.of(1, 2) });
    expect(fake.registers[3]).toEqual(replayRuntime(attestation.runtimeEvents));
    const info = (await call('Info')).value;
    expect(info.app_id).toBe('01'.repeat(20));
    expect(JSON.parse(info.tcb_info).event_log.at(-1).event).toBe('my-event');
  });

  it('follows every event in all answers, though it keeps what is the same in each', async () => {
    const names = async () => {
      const attestation = decodeVersioned(bytes((await call('Attest')).value.attestation)).attestation;
      const quote = (await call('GetQuote', { report_data: 'aa' })).value;
      const tcb = JSON.parse((await call('Info')).value.tcb_info);
      const { certificate_chain } = (await call('GetTlsKey', { subject: 'a', usage_ra_tls: true })).value;
      const inCertificate = decodeVersioned(readExtension(certificate_chain[0], OID.attestation)!).attestation;
      expect(parseQuote(bytes(quote.quote)).body.rtmrs[3]).toEqual(fake.registers[3]);
      expect(tcb.rtmr3).toBe(Buffer.from(fake.registers[3] as Uint8Array).toString('hex'));
      const last = (events: readonly { event: string }[]) => events.slice(-2).map(({ event }) => event);
      return [
        last(attestation.runtimeEvents),
        last(tdxEventLog(attestation)),
        last(JSON.parse(quote.event_log)),
        last(tcb.event_log),
        last(inCertificate.runtimeEvents),
        last(tdxEventLog(inCertificate)),
      ];
    };
    let before = 'system-ready';
    for (const event of ['one', 'two', 'two', 'three']) {
      await names(); // whatever is kept is kept now
      expect((await call('EmitEvent', { event, payload: '0102' })).status).toBe(200);
      expect(await names()).toEqual(Array(6).fill([before, event]));
      expect(await names()).toEqual(Array(6).fill([before, event]));
      before = event;
    }
    // the device now answers with a report, which shows the same registers
    setNative(fakeNative({ ioctl: reportOf(fake) }));
    for (const event of ['four', 'five']) {
      await names();
      expect((await call('EmitEvent', { event, payload: '' })).status).toBe(200);
      expect(await names()).toEqual(Array(6).fill([before, event]));
      before = event;
    }
  });

  it('tells the identity from a TD report, the same as from a quote, and falls back to a quote', async () => {
    const fromQuote = (await call('Info')).value;
    const quotes = () => fake.calls.filter((entry) => entry.startsWith('read') && entry.endsWith('outblob')).length;
    const before = quotes();
    expect(before).toBeGreaterThan(0);
    setNative(fakeNative({ ioctl: reportOf(fake) }));
    const fromReport = (await call('Info')).value;
    expect(quotes()).toBe(before);
    expect({ ...fromReport, app_cert: '' }).toEqual({ ...fromQuote, app_cert: '' });
    fake.registers[3] = new Uint8Array(48).fill(5); // somebody else extended it: the report and the log disagree
    await call('Info');
    expect(quotes()).toBe(before + 1);
  });

  it('refuses the names of the boot before anything is measured', async () => {
    const before = fake.registers[3];
    for (const event of ['app-id', 'compose-hash', 'key-provider', 'system-ready', 'boot-mr-done'])
      expect((await call('EmitEvent', { event, payload: '' })).value.error).toContain('reserved for the boot');
    expect((await call('EmitEvent', { event: '', payload: '' })).status).toBe(400);
    expect(fake.registers[3]).toEqual(before);
  });

  it('binds a certificate to fresh evidence only when the caller asks for it', async () => {
    const plain = (await call('GetTlsKey', { subject: 'a' })).value;
    expect(fake.calls.filter((entry) => entry.includes('outblob'))).toHaveLength(0);
    const bound = (await call('GetTlsKey', { subject: 'a', usage_ra_tls: true })).value;
    const size = (chain: string[]) => new X509Certificate(chain[0] ?? '').raw.length;
    expect(size(bound.certificate_chain) - size(plain.certificate_chain)).toBeGreaterThan(1000);
  });

  it('answers with the reason when the quoting enclave is gone', async () => {
    fake.fail('read outblob', 'ENXIO', 'ENXIO', 'ENXIO');
    const { status, value } = await call('GetQuote');
    expect(status).toBe(400);
    expect(value.error).toMatch(/quote|outblob/);
    expect((await call('GetKey', { path: 'a' })).status).toBe(200);
  });
});
