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
import { realTdxMachine } from '../../src/tdx/tdx-machine.ts';
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
  options = { ...realTdxMachine, root, files: fake, dir: join(root, 'log') };
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

  it('notices at the next emit that the log lost a line', async () => {
    await setEventVersion(1, options);
    await emitEvent('a', NO_PAYLOAD, options);
    const before = readFileSync(log());
    await emitEvent('b', NO_PAYLOAD, options);
    writeFileSync(log(), before);
    const register = fake.registers[3];
    expect(await code(emitEvent('c', NO_PAYLOAD, options))).toBe('EVENT_LOG_DIVERGED');
    expect(fake.registers[3]).toEqual(register);
    expect(readFileSync(log())).toEqual(before);
  });

  it('names the event whose emit died between register and line, and repairs nothing', async () => {
    await setEventVersion(1, options);
    await emitEvent('a', NO_PAYLOAD, options);
    const before = readFileSync(log());
    fake.after = (call) => {
      if (call === 'write rtmr3:sha384') throw new Error('the process dies here');
    };
    await emitEvent('b', Uint8Array.of(1), options).catch(() => {});
    fake.after = undefined;
    const register = fake.registers[3];
    for (const next of ['c', 'b']) {
      const lost = await emitEvent(next, Uint8Array.of(1), options).catch((thrown: unknown) => thrown);
      expect(lost).toMatchObject({ code: 'EVENT_LINE_LOST', field: 'event', value: 'b', path: log() });
    }
    expect(fake.registers[3]).toEqual(register);
    expect(readFileSync(log())).toEqual(before);
    expect(statSync(join(options.dir, 'runtime_event_pending')).mode & 0o777).toBe(0o600);
  });

  it('goes on after an emit that died before the register', async () => {
    await setEventVersion(1, options);
    await emitEvent('a', NO_PAYLOAD, options);
    fake.fail('write rtmr3:sha384', 'EIO');
    expect(await code(emitEvent('b', NO_PAYLOAD, options))).toBe('RTMR_EXTEND_FAILED');
    expect(existsSync(join(options.dir, 'runtime_event_pending'))).toBe(true);
    await emitEvent('c', NO_PAYLOAD, options);
    expect((await readRuntimeEvents(options)).map(({ event }) => event)).toEqual(['a', 'c']);
    expect(existsSync(join(options.dir, 'runtime_event_pending'))).toBe(false);
  });

  it('notices a line that was cut off', async () => {
    await setEventVersion(1, options);
    await emitEvent('a', NO_PAYLOAD, options);
    for (const lost of [1, 5]) {
      writeFileSync(log(), readFileSync(log()).subarray(0, -lost));
      expect(await code(emitEvent('b', NO_PAYLOAD, options))).toBe('EVENT_LINE_LOST');
    }
  });

  it('notices a line nobody measured, and says which', async () => {
    await setEventVersion(1, options);
    await emitEvent('a', NO_PAYLOAD, options);
    appendFileSync(log(), formatLine({ event: 'forged', payload: NO_PAYLOAD, version: 1 }));
    const thrown = await emitEvent('b', NO_PAYLOAD, options).catch((error: unknown) => error);
    expect(thrown).toMatchObject({
      code: 'EVENT_LOG_DIVERGED',
      message: expect.stringContaining('event 2 of the log (forged)'),
    });
  });

  it('notices an older line that was changed since its emit', async () => {
    await setEventVersion(1, options);
    await emitEvent('first', NO_PAYLOAD, options);
    await emitEvent('second', NO_PAYLOAD, options);
    writeFileSync(log(), readFileSync(log(), 'utf8').replace('first', 'thief'));
    expect(await code(emitEvent('third', NO_PAYLOAD, options))).toBe('EVENT_LOG_DIVERGED');
  });

  it('measures nothing where the register cannot be compared', async () => {
    await setEventVersion(1, options);
    fake.fail('read rtmr3:sha384', 'EIO');
    expect(await code(emitEvent('a', NO_PAYLOAD, options))).toBe('RTMR_READ_FAILED');
    expect(fake.registers[3]).toEqual(new Uint8Array(48));
    expect(existsSync(log())).toBe(false);
  });

  it('measures nothing more into a full log', async () => {
    await setEventVersion(1, options);
    const payload = new Uint8Array(300 * 1024).fill(7);
    for (const name of ['a', 'b']) await emitEvent(name, payload, options);
    const register = fake.registers[3];
    expect(await code(emitEvent('c', payload, options))).toBe('EVENT_LOG_FULL');
    expect(fake.registers[3]).toEqual(register);
    await emitEvent('small', NO_PAYLOAD, options);
    expect(fake.registers[3]).toEqual(replayRuntime(await readRuntimeEvents(options)));
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
