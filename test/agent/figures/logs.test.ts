import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { containerLogs, formatFrame, parseLogQuery, parseTime } from '../../../src/agent/figures/logs.ts';
import { DockerFrames } from '../../../src/deploy/log-frames.ts';
import type { HttpResponse } from '../../../src/http/http.ts';
import { type FakeContainer, type FakeDocker, type FakeDockerOptions, fakeDocker } from '../../deploy/fake-docker.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const frame = (channel: number, text: string | Uint8Array) => {
  const message = Buffer.from(text);
  const header = Buffer.alloc(8);
  header[0] = channel;
  header.writeUInt32BE(message.length, 4);
  return Buffer.concat([header, message]);
};

describe('DockerFrames', () => {
  it('finds the frames however the chunks fall', () => {
    const message = fc.tuple(fc.nat(2), fc.uint8Array({ maxLength: 40 }));
    fc.assert(
      fc.property(fc.array(message, { maxLength: 6 }), fc.array(fc.nat(60), { maxLength: 8 }), (messages, cuts) => {
        const stream = Buffer.concat(messages.map(([channel, text]) => frame(channel, text)));
        const frames = new DockerFrames(false);
        const found = [];
        let at = 0;
        for (const cut of [...cuts, stream.length]) {
          found.push(...frames.push(stream.subarray(at, at + cut)));
          at += cut;
        }
        const expected = messages.map(([channel, text]) => ({
          channel: ['stdin', 'stdout', 'stderr'][channel],
          message: text,
        }));
        expect(found).toEqual(expected);
      }),
    );
  });
  it('refuses what is not docker’s', () => {
    expect(() => [...new DockerFrames(false).push(bytes('hello world'))]).toThrow('damaged');
    expect(() => [...new DockerFrames(false).push(Uint8Array.of(1, 0, 0, 0, 255, 0, 0, 0))]).toThrow('damaged');
  });
  it('passes the stream of a terminal on', () => {
    expect([...new DockerFrames(true).push(bytes('hello'))]).toEqual([{ channel: 'console', message: bytes('hello') }]);
  });
});

describe('the query', () => {
  it.each([
    ['', 0],
    ['1700000000', 1_700_000_000],
    ['90s', 910],
    ['2m', 880],
    ['1h', 0],
    ['1d', 0],
    ['-1', undefined],
    ['1w', undefined],
    ['1.5s', undefined],
  ])('reads time %j', (text, expected) => expect(parseTime(text, 1000)).toBe(expected));
  it('has the documented defaults', () => {
    const query = {
      since: 0,
      until: 0,
      follow: false,
      text: false,
      bare: false,
      timestamps: false,
      ansi: false,
      tail: '1000',
    };
    expect(parseLogQuery('', 0)).toEqual(query);
    expect(parseLogQuery('follow=on&text=yes&bare=&tail=all&ansi=off', 0)).toEqual({
      ...query,
      follow: true,
      text: true,
      bare: true,
      tail: 'all',
    });
    expect(parseLogQuery('since=x', 0)).toBe('since');
    expect(parseLogQuery('until=x', 0)).toBe('until');
    expect(parseLogQuery('follow=1', 0)).toBeUndefined();
  });
});

describe('formatFrame', () => {
  const red = { channel: 'stderr', message: bytes('\u001b[31mred ü\u001b[0m\n') } as const;
  const format = (text: boolean, bare: boolean, ansi = false, message?: string) =>
    Buffer.from(
      formatFrame(message === undefined ? red : { channel: 'stderr', message: bytes(message) }, { text, bare, ansi }),
    ).toString();
  it('writes JSON lines, or the bare message', () => {
    expect(format(false, false)).toBe(
      `{"channel":"stderr","message":"${Buffer.from(red.message).toString('base64')}"}\n`,
    );
    expect(format(true, false)).toBe('{"channel":"stderr","message":"\\u001b[31mred ü\\u001b[0m\\n"}\n');
    expect(format(false, true)).toBe(Buffer.from(red.message).toString('base64'));
    expect(format(true, true)).toBe('red ü\n');
    expect(format(true, true, true)).toBe('\u001b[31mred ü\u001b[0m\n');
  });
  it('leaves nothing of a control sequence, broken, nested or cut between two frames', () => {
    expect(format(true, true, false, 'a\u001b[\u001b[31m31mb')).toBe('a31mb');
    expect(format(true, true, false, 'a\u001b') + format(true, true, false, '[31mb')).toBe('a[31mb');
    expect(format(true, true, false, 'safe\b\b\b\bevil\r\u009b2Jx')).toBe('safeevilx');
    expect(format(true, true, false, 'a\u202eb\u2028c')).toBe('a\\u202eb\\u2028c');
  });
  it('writes JSON that no terminal acts upon', () => {
    const line = format(true, false, false, 'a\u009b2J\u202e\u001b[0m');
    expect(line).not.toMatch(/[\u0080-\u009f\u202e\u001b]/);
    expect(JSON.parse(line).message).toBe('a\u009b2J\u202e\u001b[0m');
  });
});

describe('/logs', () => {
  let dir = '';
  let docker: FakeDocker | undefined;
  const host = process.env['DOCKER_HOST'];
  const start = async (container: Partial<FakeContainer> = {}, options: FakeDockerOptions = {}) => {
    docker = await fakeDocker(
      join(dir, 'docker.sock'),
      [{ Id: 'abc', Names: ['/web'], State: 'running', ...container }],
      options,
    );
    return docker;
  };
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'dstack-logs-'));
    process.env['DOCKER_HOST'] = `unix://${join(dir, 'docker.sock')}`;
  });
  afterEach(async () => {
    if (host === undefined) delete process.env['DOCKER_HOST'];
    else process.env['DOCKER_HOST'] = host;
    await docker?.close();
    docker = undefined;
    rmSync(dir, { recursive: true, force: true });
  });
  const ask = async (path: string, query = '') => {
    const client = new AbortController();
    const request = { method: 'GET', path, query, headers: {}, body: () => new Uint8Array(0) };
    const response = await containerLogs({ ...request, signal: client.signal });
    return { ...response, leave: () => client.abort() };
  };
  const get = async (path: string, query = '') => {
    const response = await ask(path, query);
    return { ...response, text: await textOf(response) };
  };
  const textOf = async ({ body }: HttpResponse) => {
    if (typeof body === 'string') return body;
    if (body instanceof Uint8Array) return Buffer.from(body).toString();
    let text = '';
    for await (const chunk of body) text += Buffer.from(chunk).toString();
    return text;
  };
  const LINES = Buffer.concat([frame(1, 'out\n'), frame(2, 'err\n')]);

  it('streams the frames of a container', async () => {
    const { requests } = await start({ log: LINES });
    const answer = await get('/logs/web', 'text=true&bare=true&tail=5&since=1h&timestamps');
    expect(answer).toMatchObject({ status: 200, text: 'out\nerr\n' });
    expect(answer.headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
    });
    expect(requests).toEqual([
      expect.stringMatching(
        /^GET \/containers\/web\/logs\?stdout=1&stderr=1&follow=0&timestamps=1&since=\d+&until=0&tail=5$/,
      ),
    ]);
  });
  it('streams a terminal, and knows frames from it also where docker does not say', async () => {
    await start({ log: bytes('typed'), inspect: { Config: { Tty: true } } });
    expect((await get('/logs/abc', 'text=on')).text).toBe('{"channel":"console","message":"typed"}\n');
    await docker?.close();
    // before docker 23 both kinds had the raw type
    await start({ log: LINES, inspect: { Config: { Tty: false } } }, { logType: 'application/vnd.docker.raw-stream' });
    expect((await get('/logs/abc', 'text&bare')).text).toBe('out\nerr\n');
  });
  it('says in the text what docker says', async () => {
    await start();
    expect((await get('/logs/nope')).text).toBe('{"error":"No such container: nope"}');
    process.env['DOCKER_HOST'] = 'unix:///nonexistent/docker.sock';
    expect((await get('/logs/web')).text).toContain('docker does not answer');
  });
  it('ends with an error in the text when the stream is damaged', async () => {
    await start({ log: Buffer.concat([frame(1, 'good\n'), bytes('not a frame')]) });
    expect((await get('/logs/web', 'text&bare')).text).toBe('good\n{"error":"docker’s log stream is damaged"}');
  });
  it.each([
    '/logs/..',
    '/logs/.',
    '/logs/%2e%2e',
    '/logs/..%2f..%2fetc%2fpasswd',
    '/logs/web%2fjson',
    '/logs/web%3fall=1',
    '/logs/web%00',
    '/logs/web%0a',
    '/logs/%1b[31m',
    '/logs/%',
    '/logs/%ff',
    '/logs/-web',
    `/logs/${'a'.repeat(256)}`,
    '/logs/',
  ])('never asks docker about %s', async (path) => {
    const { requests } = await start();
    expect((await get(path)).status).toBe(404);
    expect(requests).toEqual([]);
  });
  it.each(['follow=1', 'text=maybe', 'bare=TRUE'])('has no route for %s', async (query) => {
    await start();
    expect((await get('/logs/web', query)).status).toBe(404);
  });
  it.each(['since', 'until'])('says that %s is not a time', async (name) => {
    await start();
    expect(await get('/logs/web', `${name}=yesterday`)).toMatchObject({
      status: 200,
      text: `{"error":"Invalid ${name}"}`,
    });
  });
  it('lets docker go when a follower leaves in the silence', async () => {
    const { readers } = await start({ log: LINES });
    const { body, leave } = await ask('/logs/web', 'follow=true&text&bare');
    if (typeof body === 'string' || body instanceof Uint8Array) throw new Error('not a stream');
    const stream = body[Symbol.asyncIterator]();
    expect(Buffer.from((await stream.next()).value).toString()).toBe('out\n');
    expect(Buffer.from((await stream.next()).value).toString()).toBe('err\n');
    const silent = stream.next();
    expect(readers.size).toBe(1);
    leave();
    expect(await silent).toEqual({ done: true, value: undefined });
    await expect.poll(() => readers.size).toBe(0);
  });
  it('bounds the number of streams, and counts those that ended', async () => {
    const { readers } = await start({ log: LINES });
    const open = await Promise.all(
      Array.from({ length: 64 }, async () => {
        const { body, leave } = await ask('/logs/web', 'follow=true');
        const stream = (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
        await stream.next();
        return { stream, leave };
      }),
    );
    expect(readers.size).toBe(64);
    expect((await get('/logs/web')).text).toBe('{"error":"too many readers of logs at the same time"}');
    for (const { stream, leave } of open) {
      leave();
      await stream.return?.();
    }
    await expect.poll(() => readers.size).toBe(0);
    expect((await get('/logs/web', 'text&bare')).text).toBe('out\nerr\n');
  });
});
