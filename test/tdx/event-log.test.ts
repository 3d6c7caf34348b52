import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import { setNative } from '../../src/sys/native.ts';
import {
  type EventLogOptions,
  emitEvent,
  formatLine,
  parseLog,
  readRuntimeEvents,
  setEventVersion,
} from '../../src/tdx/event-log.ts';
import { replayRuntime } from '../../src/tdx/replay.ts';
import { fakeNative } from './fake-native.ts';
import { FakeTsm } from './fake-tsm.ts';

const NO_PAYLOAD = new Uint8Array();
let root: string;
let fake: FakeTsm;
let options: EventLogOptions & { dir: string };
const log = () => join(options.dir, 'runtime_events.log');

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'event-log-'));
  mkdirSync(join(root, 'dev'));
  writeFileSync(join(root, 'dev/tdx_guest'), '');
  fake = new FakeTsm({ measurementsDir: `${root}/sys/devices/virtual/misc/tdx_guest/measurements` });
  options = { root, files: fake, dir: join(root, 'log') };
  setNative(fakeNative());
});
afterEach(() => {
  setNative(undefined);
  rmSync(root, { recursive: true });
});

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (thrown: unknown) => (thrown instanceof DstackError ? thrown.code : `foreign error ${String(thrown)}`),
  );

describe('event version', () => {
  it('must be fixed before the first event', async () => {
    expect(await code(emitEvent('a', NO_PAYLOAD, options))).toBe('EVENT_VERSION_MISSING');
    expect(fake.calls).toEqual([]);
  });

  it('is fixed for the boot', async () => {
    await setEventVersion(2, options);
    await setEventVersion(2, options);
    expect(await code(setEventVersion(1, options))).toBe('EVENT_VERSION_CONFLICT');
    expect(readFileSync(join(options.dir, 'runtime_event_version'), 'utf8').trim()).toBe('2');
  });

  it('refuses a damaged file', async () => {
    mkdirSync(options.dir);
    writeFileSync(join(options.dir, 'runtime_event_version'), '3\n');
    expect(await code(emitEvent('a', NO_PAYLOAD, options))).toBe('EVENT_LOG_INVALID');
  });
});

describe('emit', () => {
  it('extends RTMR3 and appends a line, private to root', async () => {
    await setEventVersion(1, options);
    const { digest } = await emitEvent('app-id', Uint8Array.of(0xde, 0xad, 0xbe, 0xef), options);
    expect(readFileSync(log(), 'utf8')).toBe('{"event":"app-id","payload":"3q2+7w=="}\n');
    expect(statSync(log()).mode & 0o777).toBe(0o600);
    expect(toHex(digest).startsWith('67b4be4e')).toBe(true);
    expect(fake.registers[3]).toEqual(replayRuntime(await readRuntimeEvents(options)));
  });

  it('uses the digest form of the boot', async () => {
    await setEventVersion(2, options);
    await emitEvent('app-id', Uint8Array.of(0xde, 0xad, 0xbe, 0xef), options);
    expect(readFileSync(log(), 'utf8')).toBe('{"event":"app-id","payload":"3q2+7w==","version":2}\n');
    expect(fake.registers[3]).toEqual(replayRuntime(await readRuntimeEvents(options)));
  });

  it('keeps log and register in step when many emit at once', async () => {
    await setEventVersion(1, options);
    const names = Array.from({ length: 25 }, (_, index) => `event-${index}`);
    await Promise.all(names.map((name) => emitEvent(name, Buffer.from(name), options)));
    const events = await readRuntimeEvents(options);
    expect(events.map(({ event }) => event).sort()).toEqual([...names].sort());
    expect(fake.registers[3]).toEqual(replayRuntime(events));
  });

  it('writes no line when the register refuses', async () => {
    await setEventVersion(1, options);
    fake.fail('write rtmr3:sha384', 'EIO');
    expect(await code(emitEvent('a', NO_PAYLOAD, options))).toBe('RTMR_EXTEND_FAILED');
    expect(existsSync(log())).toBe(false);
    await emitEvent('b', NO_PAYLOAD, options);
  });

  it('notices at the next emit that a line was lost after its measurement', async () => {
    await setEventVersion(1, options);
    await emitEvent('a', NO_PAYLOAD, options);
    const before = readFileSync(log());
    await emitEvent('b', NO_PAYLOAD, options);
    writeFileSync(log(), before); // what a power cut between register and line leaves behind
    const register = fake.registers[3];
    expect(await code(emitEvent('c', NO_PAYLOAD, options))).toBe('EVENT_LOG_DIVERGED');
    expect(fake.registers[3]).toEqual(register);
    expect(readFileSync(log())).toEqual(before);
  });

  it('notices a line nobody measured', async () => {
    await setEventVersion(1, options);
    mkdirSync(options.dir, { recursive: true });
    appendFileSync(log(), formatLine({ event: 'forged', payload: NO_PAYLOAD, version: 1 }));
    expect(await code(emitEvent('a', NO_PAYLOAD, options))).toBe('EVENT_LOG_DIVERGED');
  });

  it('goes on without the comparison where the register cannot be read', async () => {
    await setEventVersion(1, options);
    fake.fail('read rtmr3:sha384', 'EACCES');
    await emitEvent('a', NO_PAYLOAD, options);
    expect((await readRuntimeEvents(options)).length).toBe(1);
  });

  it('needs a TEE', async () => {
    await setEventVersion(1, options);
    rmSync(join(root, 'dev/tdx_guest'));
    expect(await code(emitEvent('a', NO_PAYLOAD, options))).toBe('TEE_NOT_FOUND');
  });

  it('refuses a name without a UTF-8 form', async () => {
    await setEventVersion(1, options);
    expect(await code(emitEvent('\ud800', NO_PAYLOAD, options))).toBe('INPUT_INVALID');
  });
});

describe('reading', () => {
  it('has no events without a log, and skips blank lines', async () => {
    expect(await readRuntimeEvents(options)).toEqual([]);
    expect(parseLog(Buffer.from('\n  \n{"event":"a","payload":""}\n\n'), 'log')).toEqual([
      { event: 'a', payload: NO_PAYLOAD, version: 1 },
    ]);
  });

  it.each([
    ['not JSON', '{"event":"a"'],
    ['no object', '[]'],
    ['no event', '{"payload":""}'],
    ['no payload', '{"event":"a"}'],
    ['url-safe base64', '{"event":"a","payload":"-_8="}'],
    ['base64 without padding', '{"event":"a","payload":"3q2+7w"}'],
    ['another version', '{"event":"a","payload":"","version":3}'],
  ])('one malformed line fails the whole: %s', (_, line) => {
    const text = Buffer.from(`{"event":"a","payload":""}\n${line}\n`);
    expect(() => parseLog(text, 'log')).toThrowError(/line log:2/);
  });

  it('round-trips any event', () => {
    const events = fc.array(
      fc.record({
        event: fc.string({ unit: 'binary' }),
        payload: fc.uint8Array(),
        version: fc.constantFrom(1 as const, 2 as const),
      }),
    );
    fc.assert(
      fc.property(events, (list) => {
        expect(parseLog(Buffer.from(list.map(formatLine).join('')), 'log')).toEqual(list);
      }),
      { numRuns: 30 },
    );
  });

  it('throws nothing but its own error', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (bytes) => {
          try {
            parseLog(bytes, 'log');
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(DstackError);
          }
        },
      ),
    );
  });
});
