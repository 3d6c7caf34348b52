/** Clients that begin to speak HTTP/2 without having asked: a real one, and bytes. */
import * as http2 from 'node:http2';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, untilClose } from '../agent/raw-client.ts';
import { type Served, serveHttp } from './serve.ts';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const frame = (type: number, stream: number, payload: Uint8Array = Buffer.alloc(0)) => {
  const header = Buffer.from([0, payload.length >> 8, payload.length & 0xff, type, 0, 0, 0, 0, stream]);
  return Buffer.concat([header, payload]);
};
const SETTINGS = frame(4, 0);
const word = (value: number) => Buffer.from([0, 0, 0, value]);
const reset = (stream: number) => frame(3, stream, word(13)); // HTTP_1_1_REQUIRED
const goodbye = (stream: number) =>
  frame(7, 0, Buffer.concat([word(stream), word(13), Buffer.from('only HTTP/1.1 is served here')]));

describe('a client that speaks HTTP/2', () => {
  let served: Served;
  let asked = 0;
  const refused: unknown[] = [];
  beforeAll(async () => {
    served = await serveHttp({
      handler: async () => {
        asked++;
        return { status: 200, headers: {}, body: '' };
      },
      onMalformed: ({ code, field }, status) => refused.push([code, field, status]),
      limits: { linger: 200, idle: 500, request: 1000 },
    });
  });
  afterAll(() => served.close());
  const open = async (): Promise<[Socket, Promise<Buffer>]> => {
    const socket = await connect(served.port);
    return [socket, untilClose(socket).then((text) => Buffer.from(text, 'latin1'))];
  };

  it('node:http2 is told for each request, and then for the connection', async () => {
    const told: unknown[] = [];
    const session = http2.connect(`http://127.0.0.1:${served.port}`);
    session.on('goaway', (code, _, data) => told.push(['goaway', code, data?.toString()]));
    session.on('error', () => told.push('error'));
    const closed = new Promise((resolve) => session.on('close', resolve));
    const request = session.request({ ':path': '/Version' });
    const failure = await new Promise<Error>((resolve) => request.on('error', resolve));
    expect(failure.message).toContain('NGHTTP2_HTTP_1_1_REQUIRED');
    expect(request.rstCode).toBe(http2.constants.NGHTTP2_HTTP_1_1_REQUIRED);
    await closed;
    expect(told).toContainEqual(['goaway', http2.constants.NGHTTP2_HTTP_1_1_REQUIRED, 'only HTTP/1.1 is served here']);
    expect(asked).toBe(0);
    expect(refused).toEqual([['HTTP_REQUEST_INVALID', 'version', 505]]);
  });
  it('gets the same answer however its bytes arrive', async () => {
    const bytes = Buffer.concat([
      Buffer.from(PREFACE),
      frame(4, 0, Buffer.alloc(18)),
      frame(8, 0, word(9)),
      frame(1, 3, Buffer.from('82868441', 'hex')), // the first request of a client need not be stream 1
    ]);
    const answer = Buffer.concat([SETTINGS, reset(3), goodbye(3)]);
    const [whole, all] = await open();
    whole.write(bytes);
    expect(await all).toEqual(answer);
    const [pieces, each] = await open();
    pieces.setNoDelay(true);
    for (const byte of bytes) {
      pieces.write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await each).toEqual(answer);
  });
  it.each([
    ['says nothing more', Buffer.alloc(0)],
    ['never asks for anything', frame(4, 0)],
    ['goes on in another language', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['sends a frame beyond the limit', Buffer.from([0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0])],
    ['asks on stream 0', frame(1, 0)],
  ])('that %s is sent away too', async (what, more) => {
    const [socket, all] = await open();
    const start = what.startsWith('goes on') ? PREFACE.slice(0, -6) : PREFACE;
    socket.write(Buffer.concat([Buffer.from(start), more]));
    expect(await all).toEqual(Buffer.concat([SETTINGS, goodbye(0)]));
  });
  it('is told when it ends its side first', async () => {
    const [socket, all] = await open();
    socket.end(Buffer.concat([Buffer.from(PREFACE), frame(4, 0), frame(1, 1)]));
    expect(await all).toEqual(Buffer.concat([SETTINGS, reset(1), goodbye(1)]));
  });
  it('may say so only where a connection begins', async () => {
    const [socket, all] = await open();
    socket.write(`GET / HTTP/1.1\r\n\r\n${PREFACE}`);
    const text = (await all).toString('latin1');
    expect(text.match(/HTTP\/1\.1 200/g)).toHaveLength(1);
    expect(text).not.toContain('only HTTP/1.1');
  });
});
