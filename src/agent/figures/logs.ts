/** /logs/<container>: the log of a container as a stream of text (dstack guest agent services, logs query parameters). */
import type { IncomingMessage } from 'node:http';
import {
  bodyText,
  containerState,
  DockerFrames,
  dockerMessage,
  dockerRequest,
  type LogFrame,
} from '../../deploy/deploy.ts';
import { errorChain } from '../../errors.ts';
import { type HttpRequest, type HttpResponse, notFound } from '../../http/http.ts';
import * as ui from '../../ui.ts';
import { CONTAINER_NAME } from '../docker-view/calls.ts';

/** A follower that hears nothing for this long is let go. */
const SILENCE_MS = 600_000;
/** Anybody may follow a public log, and each follower costs a connection to docker. */
const STREAMS = 64;
const TEXT = {
  'content-type': 'text/plain; charset=utf-8',
  'cache-control': 'no-store',
};

export interface LogQuery {
  /** Unix seconds, 0 = no limit */
  readonly since: number;
  readonly until: number;
  readonly follow: boolean;
  readonly text: boolean;
  readonly bare: boolean;
  readonly timestamps: boolean;
  readonly tail: string;
  readonly ansi: boolean;
}

/** "" = 0, digits = Unix seconds, `<n>s|m|h|d` = that long ago; undefined = invalid. */
export function parseTime(text: string, now: number): number | undefined {
  if (text === '') return 0;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const [, count, unit = ''] = /^(\d{1,15})([smhd])$/.exec(text) ?? [];
  if (count === undefined) return undefined;
  const seconds = Number(count) * ({ s: 1, m: 60, h: 3600, d: 86_400 }[unit] ?? 1);
  return Math.max(0, now - seconds);
}

/** Form rules for booleans: true, on, yes, empty; false, off, no; undefined = neither. */
function parseFlag(text: string | null): boolean | undefined {
  if (text === null) return false;
  if (['true', 'on', 'yes', ''].includes(text)) return true;
  return ['false', 'off', 'no'].includes(text) ? false : undefined;
}

/** @returns the query, the name of a bad time, or undefined when the route does not match */
export function parseLogQuery(query: string, now: number): LogQuery | 'since' | 'until' | undefined {
  const values = new URLSearchParams(query);
  const since = parseTime(values.get('since') ?? '', now);
  const until = parseTime(values.get('until') ?? '', now);
  const [follow, text, bare, timestamps, ansi] = ['follow', 'text', 'bare', 'timestamps', 'ansi'].map((name) =>
    parseFlag(values.get(name)),
  );
  if (
    follow === undefined ||
    text === undefined ||
    bare === undefined ||
    timestamps === undefined ||
    ansi === undefined
  )
    return undefined;
  if (since === undefined) return 'since';
  if (until === undefined) return 'until';
  return { since, until, follow, text, bare, timestamps, ansi, tail: values.get('tail') ?? '1000' };
}

const errorText = (text: string): Uint8Array =>
  new TextEncoder().encode(ui.printableJson(JSON.stringify({ error: text })));

/** Answers with the log; what goes wrong with docker is part of the text, the status stays 200. */
export async function containerLogs(request: HttpRequest): Promise<HttpResponse> {
  const query = parseLogQuery(request.query, Math.floor(Date.now() / 1000));
  if (query === undefined) return notFound(request);
  if (typeof query === 'string') return { status: 200, headers: TEXT, body: errorText(`Invalid ${query}`) };
  let container: string;
  try {
    container = decodeURIComponent(request.path.slice('/logs/'.length));
  } catch {
    return notFound(request);
  }
  if (!CONTAINER_NAME.test(container)) return notFound(request);
  const end = new AbortController();
  // only a follower can be waiting in silence, everything else ends by itself
  if (query.follow) request.signal?.addEventListener('abort', () => end.abort(), { once: true });
  return { status: 200, headers: TEXT, body: stream(container, query, end) };
}

let streams = 0;

/** @param end aborted by the reader who leaves, or by the silence of the container */
async function* stream(container: string, query: LogQuery, end: AbortController): AsyncGenerator<Uint8Array> {
  if (streams >= STREAMS) {
    yield errorText('too many readers of logs at the same time');
    return;
  }
  streams++;
  let silence = setTimeout(() => end.abort(), SILENCE_MS);
  let response: IncomingMessage | undefined;
  const close = () => response?.destroy();
  end.signal.addEventListener('abort', close, { once: true });
  try {
    response = await dockerRequest('GET', logPath(container, query), undefined, end.signal);
    if (response.statusCode !== 200) {
      yield errorText(dockerMessage(await bodyText(response)));
      return;
    }
    const frames = new DockerFrames(await isRaw(container, response, end.signal));
    for await (const chunk of response) {
      clearTimeout(silence);
      silence = setTimeout(() => end.abort(), SILENCE_MS);
      for (const frame of frames.push(chunk as Uint8Array)) yield formatFrame(frame, query);
    }
  } catch (thrown) {
    if (!end.signal.aborted) yield errorText(errorChain(thrown));
  } finally {
    streams--;
    clearTimeout(silence);
    close(); // the reader may have left in the middle
  }
}

/** docker's own reading: what is not a number means everything. */
const tailLines = (text: string): string => /^\+?(\d{1,9})$/.exec(text)?.[1] ?? 'all';

function logPath(container: string, query: LogQuery): string {
  const parameters = new URLSearchParams({
    stdout: '1',
    stderr: '1',
    follow: query.follow ? '1' : '0',
    timestamps: query.timestamps ? '1' : '0',
    since: String(query.since),
    until: String(query.until),
    tail: tailLines(query.tail),
  });
  return `/containers/${encodeURIComponent(container)}/logs?${parameters}`;
}

/**
 * True for the log of a container with a terminal: one unframed stream. A docker older than 23 gives both kinds the same
 * content type, so the container itself is asked unless the type says that there are frames.
 */
async function isRaw(container: string, response: IncomingMessage, signal: AbortSignal): Promise<boolean> {
  if (String(response.headers['content-type'] ?? '').includes('multiplexed')) return false;
  try {
    return (await containerState(container, signal)).terminal;
  } catch {
    return true;
  }
}

/** One frame as the query wants it. */
export function formatFrame(
  { channel, message }: LogFrame,
  query: Pick<LogQuery, 'text' | 'bare' | 'ansi'>,
): Uint8Array {
  const bytes = Buffer.from(message);
  if (query.bare && !query.text) return bytes.length === 0 ? bytes : Buffer.from(bytes.toString('base64'));
  const text = query.text ? bytes.toString('utf8') : bytes.toString('base64');
  if (query.bare) return Buffer.from(query.ansi ? text : ui.withoutSequences(text));
  return Buffer.from(`${ui.printableJson(JSON.stringify({ channel, message: text }))}\n`);
}
