/**
 * The log of runtime events (dstack measurement, persistent state and emit). The register is extended first and the line
 * is written after: a line without its measurement would be a lie, a measurement without its line is found at the next
 * emit, because the log no longer replays to the register.
 */
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { toHex } from '../codec/hex.ts';
import { PATHS } from '../config/paths.ts';
import { DstackError } from '../errors.ts';
import { effect } from '../sys/effects.ts';
import { ifExists, makeDir, readLimited, utf8, writeAtomic } from '../sys/files.ts';
import { native } from '../sys/native.ts';
import * as ui from '../ui.ts';
import { type EventVersion, eventDigest, RUNTIME_IMR, type RuntimeEvent } from './events.ts';
import { detectTee } from './platform.ts';
import { replayRuntime } from './replay.ts';
import { extendRtmr, readRtmr } from './rtmr.ts';
import type { TdxSystem } from './system.ts';

export interface EventLogOptions extends TdxSystem {
  /** folder of the log, default /run/log/dstack */
  readonly dir?: string;
}

const LOCK = 'runtime_event.lock';
const VERSION = 'runtime_event_version';
const LOG = 'runtime_events.log';
/** A line is at most this long; the log holds a few dozen of them. */
const LOG_LIMIT = 16 * 1024 * 1024;
const PAYLOAD_LIMIT = 1024 * 1024;
/** Such a name has no UTF-8 form and therefore no digest. */
const LONE_SURROGATE = /\p{Cs}/u;

const dirOf = (options: EventLogOptions): string => options.dir ?? PATHS.eventDir;

/** Runs `work` under the lock of the event log; waits without limit, as every writer holds it only for an instant. */
export async function withEventLock<T>(options: EventLogOptions, work: () => Promise<T>): Promise<T> {
  const dir = dirOf(options);
  const path = `${dir}/${LOCK}`;
  let handle: fs.FileHandle;
  try {
    await makeDir(dir);
    handle = await fs.open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (thrown) {
    throw new DstackError('FILE_IO', `cannot open ${path}`, { path, cause: thrown });
  }
  try {
    await (await native()).flockExclusive(handle.fd);
    return await work();
  } finally {
    await handle.close(); // the lock ends with the descriptor
  }
}

/**
 * Fixes the digest version of this boot. Setting it again to the same value is fine.
 * @throws EVENT_VERSION_CONFLICT
 */
export async function setEventVersion(version: EventVersion, options: EventLogOptions = {}): Promise<void> {
  await effect(`fix the event log version ${version} for this boot`, undefined, () =>
    withEventLock(options, async () => {
      const current = await eventVersion(options);
      if (current === version) return;
      const path = `${dirOf(options)}/${VERSION}`;
      if (current !== undefined) {
        throw new DstackError(
          'EVENT_VERSION_CONFLICT',
          `event log version is already ${current} in this boot, ${version} needs a CVM restart`,
          { path, field: 'event_log_version', value: version },
        );
      }
      await writeAtomic(path, String(version), 0o644);
    }),
  );
}

/** The digest version of this boot, undefined before the setup fixed it. @throws EVENT_LOG_INVALID */
export async function eventVersion(options: EventLogOptions = {}): Promise<EventVersion | undefined> {
  const path = `${dirOf(options)}/${VERSION}`;
  const bytes = await ifExists(() => readLimited(path, 16));
  if (bytes === undefined) return undefined;
  const text = utf8(bytes, path).trim();
  if (text === '1') return 1;
  if (text === '2') return 2;
  throw new DstackError('EVENT_LOG_INVALID', `event log version in ${path} is neither 1 nor 2`, { path, value: text });
}

/**
 * Measures an event into RTMR3 and logs it.
 * @throws EVENT_VERSION_MISSING before the setup, EVENT_LOG_DIVERGED, TEE_NOT_FOUND, RTMR_*
 */
export async function emitEvent(
  name: string,
  payload: Uint8Array,
  options: EventLogOptions = {},
): Promise<RuntimeEvent & { digest: Uint8Array }> {
  if (LONE_SURROGATE.test(name) || payload.length > PAYLOAD_LIMIT) {
    throw new DstackError('INPUT_INVALID', `event name must be text and the payload at most ${PAYLOAD_LIMIT} bytes`, {
      field: 'event',
      value: name,
    });
  }
  const planned: RuntimeEvent = { event: name, payload, version: 1 };
  return effect(
    `measure event ${name} (payload ${payload.length} bytes) into RTMR${RUNTIME_IMR}`,
    { ...planned, digest: eventDigest(planned) },
    async () => {
      await fixedVersion(options); // before the lock makes a folder on a machine that was never set up
      return withEventLock(options, () => emitLocked(name, payload, options));
    },
  );
}

/** The digest version of this boot. @throws EVENT_VERSION_MISSING */
async function fixedVersion(options: EventLogOptions): Promise<EventVersion> {
  const version = await eventVersion(options);
  if (version !== undefined) return version;
  const path = `${dirOf(options)}/${VERSION}`;
  throw new DstackError('EVENT_VERSION_MISSING', `the event log version is not fixed yet: ${path} is missing`, {
    path,
  });
}

async function emitLocked(name: string, payload: Uint8Array, options: EventLogOptions) {
  const version = await fixedVersion(options);
  detectTee(options);
  await checkAgreement(options);
  const event: RuntimeEvent = { event: name, payload, version };
  const digest = eventDigest(event);
  await extendRtmr(RUNTIME_IMR, digest, options);
  await appendLine(event, options);
  return { ...event, digest };
}

/** Compares the register with the replay of the log, where the register can be read. */
async function checkAgreement(options: EventLogOptions): Promise<void> {
  let register: Uint8Array;
  try {
    register = await readRtmr(RUNTIME_IMR, options);
  } catch (thrown) {
    ui.debug(`RTMR${RUNTIME_IMR} cannot be read, its agreement with the log is not checked: ${String(thrown)}`);
    return;
  }
  const replayed = replayRuntime(await readRuntimeEvents(options));
  if (toHex(register) !== toHex(replayed)) {
    throw new DstackError(
      'EVENT_LOG_DIVERGED',
      `RTMR${RUNTIME_IMR} is ${toHex(register)}, but the event log replays to ${toHex(replayed)}`,
      { path: `${dirOf(options)}/${LOG}`, field: `rtmr${RUNTIME_IMR}`, value: toHex(register) },
    );
  }
}

async function appendLine(event: RuntimeEvent, options: EventLogOptions): Promise<void> {
  const path = `${dirOf(options)}/${LOG}`;
  try {
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
    const handle = await fs.open(path, flags, 0o600);
    try {
      await handle.writeFile(formatLine(event));
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    throw new DstackError('FILE_IO', `event ${event.event} is measured, but cannot be written to ${path}`, {
      path,
      cause: thrown,
    });
  }
}

/** One line of the log, with its newline. */
export function formatLine(event: RuntimeEvent): string {
  const line = { event: event.event, payload: Buffer.from(event.payload).toString('base64') };
  return `${JSON.stringify(event.version === 2 ? { ...line, version: 2 } : line)}\n`;
}

/** All events of this boot in order; none when there is no log yet. @throws EVENT_LOG_INVALID */
export async function readRuntimeEvents(options: EventLogOptions = {}): Promise<RuntimeEvent[]> {
  const path = `${dirOf(options)}/${LOG}`;
  const bytes = await ifExists(() => readLimited(path, LOG_LIMIT));
  return bytes === undefined ? [] : parseLog(bytes, path);
}

/** Parses the log; blank lines are skipped, one malformed line fails the whole. @throws EVENT_LOG_INVALID */
export function parseLog(bytes: Uint8Array, path: string): RuntimeEvent[] {
  let text: string;
  try {
    text = utf8(bytes, path);
  } catch (thrown) {
    throw new DstackError('EVENT_LOG_INVALID', `event log ${path} is not UTF-8 text`, { path, cause: thrown });
  }
  const events: RuntimeEvent[] = [];
  text.split('\n').forEach((line, index) => {
    if (line.trim() !== '') events.push(parseLine(line, `${path}:${index + 1}`));
  });
  return events;
}

function parseLine(line: string, where: string): RuntimeEvent {
  const refuse = (why: string, cause?: unknown) =>
    new DstackError('EVENT_LOG_INVALID', `line ${where} ${why}`, { path: where, cause });
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (thrown) {
    throw refuse('is not JSON', thrown);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refuse('is not an object');
  const { event, payload, version = 1 } = value as Record<string, unknown>;
  if (typeof event !== 'string') throw refuse('has no event name');
  if (typeof payload !== 'string') throw refuse('has no payload');
  if (version !== 1 && version !== 2) throw refuse('has a version other than 1 and 2');
  const bytes = Buffer.from(payload, 'base64');
  if (bytes.toString('base64') !== payload) throw refuse('has a payload that is not standard base64');
  return { event, payload: new Uint8Array(bytes), version };
}
