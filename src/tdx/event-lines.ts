/** The lines of the runtime event log: one compact JSON object an event (dstack measurement, persistent state). */
import { DstackError } from '../errors.ts';
import { utf8 } from '../sys/files.ts';
import type { RuntimeEvent } from './events.ts';

/** One line of the log, with its newline. */
export function formatLine(event: RuntimeEvent): string {
  const line = { event: event.event, payload: Buffer.from(event.payload).toString('base64') };
  return `${JSON.stringify(event.version === 2 ? { ...line, version: 2 } : line)}\n`;
}

/**
 * Parses the log; blank lines are skipped, one malformed line fails the whole.
 * @param firstLine number of the first line, for errors
 * @throws EVENT_LOG_INVALID
 */
export function parseLog(bytes: Uint8Array, path: string, firstLine = 1): RuntimeEvent[] {
  let text: string;
  try {
    text = utf8(bytes, path);
  } catch (thrown) {
    throw new DstackError('EVENT_LOG_INVALID', `event log ${path} is not UTF-8 text`, { path, cause: thrown });
  }
  const events: RuntimeEvent[] = [];
  text.split('\n').forEach((line, index) => {
    if (line.trim() !== '') events.push(parseLine(line, `${path}:${index + firstLine}`));
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
  if (typeof event !== 'string') throw refuse('is missing the event name');
  if (typeof payload !== 'string') throw refuse('is missing the payload');
  if (version !== 1 && version !== 2) throw refuse('is neither version 1 nor version 2');
  const bytes = Buffer.from(payload, 'base64');
  if (bytes.toString('base64') !== payload) throw refuse('has a payload that is not standard base64');
  return { event, payload: new Uint8Array(bytes), version };
}
