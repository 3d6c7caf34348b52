/**
 * The official clients, byte for byte: `clients/LANGUAGE/SOCKET/*.bin` are requests that the SDKs for Python (0.5.4), Go,
 * JavaScript and Rust sent. Each is read as one request with a JSON body, however its bytes arrive.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { rpcHandler } from '../../src/agent/rpc/rpc.ts';
import { DEFAULT_LIMITS } from '../../src/http/http.ts';
import { BodyMemory } from '../../src/http/memory.ts';
import { type RequestEvent, RequestReader } from '../../src/http/reader.ts';
import { IncomingRequest } from '../../src/http/request.ts';

const ROOT = join(import.meta.dirname, 'clients');
const FILES = readdirSync(ROOT, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.bin'));

/** Everything that the reader makes of these pieces. */
function read(pieces: readonly Uint8Array[]): RequestEvent[] {
  const reader = new RequestReader(DEFAULT_LIMITS, new BodyMemory(DEFAULT_LIMITS.memory));
  const events: RequestEvent[] = [];
  for (const piece of pieces) {
    reader.push(Buffer.from(piece));
    for (let event = reader.next(); event !== undefined; event = reader.next()) events.push(event);
  }
  return events;
}

/** An event without what depends on how its bytes came. */
const plain = (event: RequestEvent | undefined) =>
  event?.kind === 'request' ? { ...event, body: Buffer.from(event.body).toString(), reservation: undefined } : event;

/** The service as far as it answers whether a request was understood. */
const guest = rpcHandler('DstackGuest', { Version: async () => ({ version: 'v', rev: 'r' }) }, { base: '/' });

it('there are requests of four languages', () => {
  expect(new Set(FILES.map((path) => path.split('/')[0]))).toEqual(new Set(['python', 'go', 'js', 'rust']));
});

describe.each(FILES)('%s', (file) => {
  const bytes = readFileSync(join(ROOT, file));
  const [whole] = read([bytes]);

  it('is one request with a JSON body', () => {
    expect(read([bytes])).toHaveLength(1);
    if (whole?.kind !== 'request') throw new Error(`it is ${whole?.kind}`);
    expect(whole.head).toMatchObject({ method: 'POST', query: '', headers: { 'content-type': 'application/json' } });
    expect(whole.head.path).toMatch(/^\/(?:prpc\/Tappd\.)?[A-Z][A-Za-z]+$/);
    expect(() => JSON.parse(Buffer.from(whole.body).toString())).not.toThrow();
  });
  it('is the same wherever it is cut, and twice on one connection', () => {
    for (let at = 1; at < bytes.length; at++) {
      expect(read([bytes.subarray(0, at), bytes.subarray(at)]).map(plain)).toEqual([plain(whole)]);
    }
    expect(read(Array.from(bytes, (byte) => Uint8Array.of(byte))).map(plain)).toEqual([plain(whole)]);
    expect(read([Buffer.concat([bytes, bytes])]).map(plain)).toEqual([plain(whole), plain(whole)]);
  });
  it('is answered in JSON', async () => {
    if (whole?.kind !== 'request') throw new Error(`it is ${whole?.kind}`);
    const path = whole.head.path.startsWith('/prpc/') ? '/Version' : whole.head.path;
    const response = await guest(new IncomingRequest({ ...whole.head, path }, whole.body));
    expect(response.headers['content-type']).toBe('application/json');
  });
});
