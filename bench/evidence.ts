/**
 * `npm run bench -- evidence [runs]`: replay, verification, the agent's share of GetQuote, and what hostile input costs.
 * Everything in this process but the last part; figures of the compiled binary include its start.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { ensureBinaries } from '../initramfs/vm/dev-image.ts';
import { mockCcel } from '../simulator/mock-ccel.ts';
import { mockCollateral } from '../simulator/mock-collateral.ts';
import { DEVELOPMENT_SEED } from '../simulator/mock-keys.ts';
import { mockQuote } from '../simulator/mock-quote.ts';
import { mockPki } from '../simulator/pki.ts';
import { tdxBackend } from '../src/agent/evidence/tdx-backend.ts';
import { fromHex } from '../src/codec/hex.ts';
import { encodeJson } from '../src/codec/prpc-json.ts';
import { encodeVersioned } from '../src/tdx/attestation.ts';
import { parseCcel } from '../src/tdx/ccel.ts';
import { type EventLogOptions, emitEvent, setEventVersion } from '../src/tdx/event-log.ts';
import type { RuntimeEvent } from '../src/tdx/events.ts';
import { replay, replayRuntime } from '../src/tdx/replay.ts';
import { toTdxEvent, withPreimage } from '../src/tdx/tdx-event.ts';
import type { KernelFiles } from '../src/tdx/tdx-machine.ts';
import { realTdxMachine } from '../src/tdx/tdx-machine.ts';
import { ANSWER_LIMIT } from '../src/verify/answer.ts';
import { eventRows } from '../src/verify/event-rows.ts';
import { parseExpectations } from '../src/verify/expectations.ts';
import { EVIDENCE_LIMIT } from '../src/verify/recognise.ts';
import { DEFAULT_ALLOWED } from '../src/verify/tcb-policy.ts';
import { verifyEvidence } from '../src/verify/verify-evidence.ts';
import { parseCertificate } from '../src/x509/x509.ts';
import { FakeTsm } from '../test/tdx/fake-tsm.ts';
import { machineLine, repeat, row } from './measure.ts';
import { options } from './options.ts';

const BUDGET = { replay: 10, verify: 25, getQuote: 2, hostile: 200 };
const TEN_MIB = 10 * 1024 * 1024;
/** what the SCALE reader takes of one vector */
const MOST_ELEMENTS = 65_536;
const RUNS = options().runs ?? 60;

const pki = mockPki(fromHex(DEVELOPMENT_SEED));
const root = parseCertificate(pki.root);
const collateral = mockCollateral(pki);
const firmware = parseCcel(mockCcel());

const eventOf = (index: number, version: 1 | 2): RuntimeEvent => ({
  event: `event-${index}`,
  payload: new Uint8Array(32).fill(index & 0xff),
  version,
});
const judge = (input: Uint8Array) =>
  verifyEvidence(input, {
    anyApp: true,
    root,
    at: Date.now(),
    allowed: DEFAULT_ALLOWED,
    expect: parseExpectations([]),
    collateral: async () => ({ collateral, source: 'memory' }),
  });

async function replays(): Promise<void> {
  for (const version of [1, 2] as const) {
    const events = Array.from({ length: 1000 }, (_, index) => eventOf(index, version));
    row(
      `replay of 1,000 events, version ${version}`,
      await repeat(RUNS, () => void replayRuntime(events)),
      BUDGET.replay,
    );
    row(`the same with digest and value of each`, await repeat(RUNS, () => void eventRows(events)), BUDGET.replay);
  }
}

function attestation(): Uint8Array {
  const events: RuntimeEvent[] = [
    { event: 'app-id', payload: new Uint8Array(20), version: 1 },
    { event: 'compose-hash', payload: new Uint8Array(32), version: 1 },
    { event: 'system-ready', payload: new Uint8Array(), version: 1 },
  ];
  const reportData = new Uint8Array(64);
  const rtmrs = [replay(firmware, 0), replay(firmware, 1), replay(firmware, 2), replayRuntime(events)];
  const quote = mockQuote(pki, { mrtd: new Uint8Array(48).fill(0x11), rtmrs, reportData });
  const eventLog = [...firmware, ...events.map(toTdxEvent).map(withPreimage)];
  return encodeVersioned({ platform: { kind: 'tdx', quote, eventLog }, reportData, runtimeEvents: events, config: '' });
}

async function verifies(): Promise<void> {
  const input = attestation();
  const once = async () => {
    const { verdict, checks } = await judge(input);
    if (verdict !== 'valid') throw new Error(JSON.stringify(checks));
  };
  await repeat(40, once); // the compiler of the runtime needs some rounds
  row('decode and verify one attestation', await repeat(RUNS, once), BUDGET.verify);
}

/** Counts the time that is spent inside the kernel's interface, here the fake's, which makes the quote. */
function timed(files: KernelFiles): { files: KernelFiles; spent: () => number } {
  let total = 0;
  const count =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      const began = performance.now();
      try {
        return await call(...args);
      } finally {
        total += performance.now() - began;
      }
    };
  const spent = () => {
    const value = total;
    total = 0;
    return value;
  };
  return {
    spent,
    files: {
      isDirectory: count((path) => files.isDirectory(path)),
      makeDirectory: count((path) => files.makeDirectory(path)),
      read: count((path, limit) => files.read(path, limit)),
      write: count((path, bytes) => files.write(path, bytes)),
      lock: count((path) => files.lock(path)),
    },
  };
}

async function getQuotes(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'bench-'));
  try {
    for (const [path, content] of [
      ['dev/tdx_guest', ''],
      ['sys/firmware/acpi/tables/data/CCEL', mockCcel()],
    ] as const) {
      mkdirSync(dirname(join(dir, path)), { recursive: true });
      writeFileSync(join(dir, path), content);
    }
    const fake = new FakeTsm({
      reportDir: `${dir}/sys/kernel/config/tsm/report`,
      measurementsDir: `${dir}/sys/devices/virtual/misc/tdx_guest/measurements`,
      quote: (reportData, { registers }) =>
        mockQuote(pki, { mrtd: new Uint8Array(48), rtmrs: [...registers], reportData }),
    });
    const { files, spent } = timed(fake);
    const system: EventLogOptions = { ...realTdxMachine, root: dir, files, dir: join(dir, 'log') };
    await setEventVersion(1, system);
    for (let index = 0; index < 12; index++) await emitEvent(`event-${index}`, new Uint8Array(32), system);
    const backend = tdxBackend('{}', system);
    const reportData = new Uint8Array(64);
    const once = async (): Promise<number> => {
      spent();
      const began = performance.now();
      const { quote, eventLog, vmConfig, attestation } = await backend.quote(reportData);
      encodeJson('GetQuoteResponse', {
        quote,
        event_log: eventLog,
        report_data: reportData,
        vm_config: vmConfig,
        attestation: attestation(),
      });
      return performance.now() - began - spent();
    };
    await repeat(40, once);
    row('GetQuote without the kernel’s own time', await repeat(RUNS, once), BUDGET.getQuote);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const filled = (size: number, head: readonly number[], byte: number): Uint8Array => {
  const out = new Uint8Array(size).fill(byte);
  out.set(head);
  return out;
};
/** SCALE compact form of four bytes */
const compact = (value: number): number[] => {
  const word = ((value << 2) | 2) >>> 0;
  return [word & 0xff, (word >> 8) & 0xff, (word >> 16) & 0xff, word >>> 24];
};
const be32 = (value: number): number[] => [value >>> 24, (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff];

/** Input of a size that looks like evidence for as long as possible. */
function hostile(size: number): Record<string, Uint8Array> {
  const event = '{"imr":0,"event_type":1,"digest":"","event":"","event_payload":""}';
  // JSON has a lower limit of its own
  const many = Math.floor(((size > EVIDENCE_LIMIT ? size : ANSWER_LIMIT) - 200) / (event.length + 1));
  const text = (head: string, fill: string, tail = '') =>
    bytesOf(head + fill.repeat(Math.floor((size - head.length - tail.length) / fill.length)) + tail);
  const utf = [...Buffer.from('platform')];
  const v1Head = [0x83, 0xa7, ...Buffer.from('version'), 1, 0xa8, ...utf, 0x82, 0xa4, ...Buffer.from('kind'), 0xa3];
  const v1Quote = [...v1Head, ...Buffer.from('tdx'), 0xa4, ...Buffer.from('data'), 0x82, 0xa5, ...Buffer.from('quote')];
  return {
    zeros: new Uint8Array(size),
    'a quote that promises more': filled(size, [4, 0, 2, 0, 0x81], 0xff),
    'V0 with tiny events': filled(size, [0, 0, 0, ...compact(Math.min(Math.floor((size - 8) / 11), MOST_ELEMENTS))], 0),
    'V1 with a long array': filled(size, [...v1Quote, 0xdd, ...be32(size - v1Quote.length - 5)], 0),
    'V1 nested': filled(size, [], 0x81),
    'hex digits': text('', '0'),
    'JSON with events': bytesOf(`{"quote":"00","event_log":[${`${event},`.repeat(many)}${event}]}`),
    'JSON nested': text('{"quote":', '['),
    'PEM without end': text('-----BEGIN CERTIFICATE-----\n', 'A'),
    'PEM again and again': text('', '-----BEGIN CERTIFICATE-----\nAAAA\n'),
    'DER nested': filled(size, [0x30, 0x84, ...be32(size - 6)], 0x30),
  };
}

async function hostiles(): Promise<void> {
  for (const [title, size] of [
    ['10 MiB', TEN_MIB],
    [`the largest input that is read (${EVIDENCE_LIMIT / 2 ** 20} MiB)`, EVIDENCE_LIMIT],
  ] as const) {
    console.log(`\nhostile input of ${title}`);
    for (const [name, input] of Object.entries(hostile(size))) {
      const once = async () => {
        const { verdict } = await judge(input);
        if (verdict === 'valid') throw new Error(`${name} is valid`);
      };
      row(name, await repeat(Math.min(RUNS, 8), once), BUDGET.hostile);
    }
  }
}

async function wholeProcess(): Promise<void> {
  const { util } = await ensureBinaries();
  const dir = mkdtempSync(join(tmpdir(), 'bench-'));
  const [big, good] = [join(dir, 'big'), join(dir, 'good')];
  writeFileSync(big, hostile(TEN_MIB)['V0 with tiny events'] ?? '');
  writeFileSync(good, attestation());
  writeFileSync(join(dir, 'collateral.json'), JSON.stringify(collateral));
  writeFileSync(join(dir, 'root.der'), pki.root);
  const trust = ['--root-ca', join(dir, 'root.der'), '--collateral', join(dir, 'collateral.json')];
  const run = (file: string, status: number) => async () => {
    const { code } = await promisify(execFile)(util, ['verify', file, ...trust, '--any-app', '--json']).then(
      () => ({ code: 0 }),
      (thrown: { code: number }) => thrown,
    );
    if (code !== status) throw new Error(`${file}: exit status ${code}`);
  };
  console.log('\ncompiled binary, whole process');
  row('dstack-util verify, 10 MiB of hostile input', await repeat(Math.min(RUNS, 20), run(big, 3)), BUDGET.hostile);
  row('dstack-util verify, a valid attestation', await repeat(Math.min(RUNS, 20), run(good, 0)), BUDGET.hostile);
  rmSync(dir, { recursive: true });
}

console.log(machineLine());
console.log(`\nmedian of ${RUNS - 1} runs behind the first, in one process`);
await replays();
await verifies();
await getQuotes();
await hostiles();
await wholeProcess();
console.log(`\nafterwards: ${machineLine()}`);
