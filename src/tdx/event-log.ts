/**
 * The log of runtime events (dstack measurement, persistent state and emit). The register is extended first and the line
 * is written after: a line without its measurement would be a lie, a measurement without its line is found at the next
 * emit (event-agreement.ts).
 */
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { LastBytes } from '../codec/per-object.ts';
import { PATHS } from '../config/paths.ts';
import { DstackError } from '../errors.ts';
import { effect } from '../sys/effects.ts';
import { ifExists, makeDir, readLimited, utf8, writeAtomic } from '../sys/files.ts';
import { native } from '../sys/native.ts';
import { checkAgreement } from './event-agreement.ts';
import { formatLine, parseLog } from './event-lines.ts';
import { type EventVersion, eventDigest, RUNTIME_IMR, type RuntimeEvent } from './events.ts';
import { detectTee } from './platform.ts';
import { extendRtmr } from './rtmr.ts';
import type { TdxMachine } from './tdx-machine.ts';

export { formatLine, parseLog };

export interface EventLogOptions extends TdxMachine {
  /** folder of the log, default /run/log/dstack */
  readonly dir?: string;
}

const LOCK = 'runtime_event.lock';
const VERSION = 'runtime_event_version';
const LOG = 'runtime_events.log';
/** The line whose emit began last; it is there for the time of an emit, or since one that never ended. */
const NOTE = 'runtime_event_pending';
const LOG_LIMIT = 16 * 1024 * 1024;
/**
 * Beyond this nothing more is measured: an attestation holds every event twice, verifiers read 2 MiB and 8,192 events of
 * all registers together, and a guest without evidence is worse off than one without its 7,001st event.
 */
const FULL_LOG = 1024 * 1024;
const EVENTS_LIMIT = 7_000;
const PAYLOAD_LIMIT = 512 * 1024;
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
export async function setEventVersion(version: EventVersion, options: EventLogOptions): Promise<void> {
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
export async function eventVersion(options: EventLogOptions): Promise<EventVersion | undefined> {
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
 * @throws EVENT_VERSION_MISSING before the setup; EVENT_LINE_LOST, EVENT_LOG_DIVERGED, EVENT_LOG_INVALID when register and
 *   log do not tell the same; EVENT_LOG_FULL, TEE_NOT_FOUND, RTMR_*
 */
export async function emitEvent(
  name: string,
  payload: Uint8Array,
  options: EventLogOptions,
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
  const dir = dirOf(options);
  const log = `${dir}/${LOG}`;
  const note = `${dir}/${NOTE}`;
  const event: RuntimeEvent = { event: name, payload, version };
  const line = formatLine(event);
  const bytes = (await ifExists(() => readLimited(log, LOG_LIMIT))) ?? new Uint8Array();
  const count = await checkAgreement(bytes, log, note, options);
  if (count >= EVENTS_LIMIT || bytes.length + Buffer.byteLength(line) > FULL_LOG) {
    throw new DstackError('EVENT_LOG_FULL', `event ${name} is not measured: ${log} is full with ${count} events`, {
      path: log,
      field: 'event',
      value: name,
    });
  }
  const digest = eventDigest(event);
  await putLine(note, line, constants.O_TRUNC);
  await extendRtmr(RUNTIME_IMR, digest, options);
  try {
    await putLine(log, line, constants.O_APPEND);
  } catch (thrown) {
    throw new DstackError('FILE_IO', `event ${name} is measured, but cannot be written to ${log}`, {
      path: log,
      cause: thrown,
    });
  }
  await fs.rm(note, { force: true });
  return { ...event, digest };
}

/** One write of one line to a file that only root may read. */
async function putLine(path: string, line: string, mode: number): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW | mode;
  try {
    const handle = await fs.open(path, flags, 0o600);
    try {
      await handle.writeFile(line);
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    throw new DstackError('FILE_IO', `cannot write ${path}`, { path, cause: thrown });
  }
}

const NO_EVENTS: readonly RuntimeEvent[] = [];
const parsed = new LastBytes<readonly RuntimeEvent[]>();

/**
 * All events of this boot in order; none when there is no log yet. The log is read every time; while it says the same, the
 * answer is the same object. @throws EVENT_LOG_INVALID
 */
export async function readRuntimeEvents(options: EventLogOptions): Promise<readonly RuntimeEvent[]> {
  const path = `${dirOf(options)}/${LOG}`;
  const bytes = await ifExists(() => readLimited(path, LOG_LIMIT));
  return bytes === undefined ? NO_EVENTS : parsed.of(bytes, () => parseLog(bytes, path));
}
