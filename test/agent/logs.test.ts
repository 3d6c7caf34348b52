import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HttpResponse } from '../../src/agent/http.ts';
import { DockerFrames } from '../../src/agent/log-frames.ts';
import { containerLogs, formatFrame, parseLogQuery, parseTime, stripAnsi } from '../../src/agent/logs.ts';
import { type FakeDocker, fakeDocker } from '../deploy/fake-docker.ts';

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
    expect(() => new DockerFrames(false).push(bytes('hello world'))).toThrow('damaged');
    expect(() => new DockerFrames(false).push(Uint8Array.of(1, 0, 0, 0, 255, 0, 0, 0))).toThrow('damaged');
  });
  it('passes the stream of a terminal on', () => {
    expect(new DockerFrames(true).push(bytes('hello'))).toEqual([{ channel: 'console', message: bytes('hello') }]);
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
  const format = (text: boolean, bare: boolean, ansi = false) =>
    Buffer.from(formatFrame(red, { text, bare, ansi })).toString();
  it('writes JSON lines, or the bare message', () => {
    expect(format(false, false)).toBe(
      `{"channel":"stderr","message":"${Buffer.from(red.message).toString('base64')}"}\n`,
    );
    expect(format(true, false)).toBe('{"channel":"stderr","message":"\\u001b[31mred ü\\u001b[0m\\n"}\n');
    expect(format(false, true)).toBe(Buffer.from(red.message).toString('base64'));
    expect(format(true, true)).toBe('red ü\n');
    expect(format(true, true, true)).toBe('\u001b[31mred ü\u001b[0m\n');
  });
  it('strips escape sequences and nothing else', () => {
    expect(stripAnsi('a\u001b[1;31mb\u001b]0;title\u0007c\u001b]8;;x\u001b\\d\u001bMe [0m')).toBe('abcde [0m');
  });
});

describe('/logs', () => {
  let dir = '';
  let docker: FakeDocker;
  const host = process.env['DOCKER_HOST'];
  const start = async (type: string, content: Uint8Array) => {
    docker = await fakeDocker(join(dir, 'docker.sock'), [{ Id: 'abc', Names: ['/web'] }], { type, bytes: content });
  };
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'dstack-logs-'));
    process.env['DOCKER_HOST'] = `unix://${join(dir, 'docker.sock')}`;
  });
  afterEach(async () => {
    if (host === undefined) delete process.env['DOCKER_HOST'];
    else process.env['DOCKER_HOST'] = host;
    await docker.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const get = async (path: string, query = '') => {
    const response = await containerLogs({
      method: 'GET',
      path,
      query,
      headers: {},
      body: async () => new Uint8Array(0),
    });
    return { ...response, text: await textOf(response) };
  };
  const textOf = async ({ body }: HttpResponse) => {
    if (body instanceof Uint8Array) return Buffer.from(body).toString();
    let text = '';
    for await (const chunk of body) text += Buffer.from(chunk).toString();
    return text;
  };

  it('streams the frames of a container', async () => {
    await start('application/vnd.docker.multiplexed-stream', Buffer.concat([frame(1, 'out\n'), frame(2, 'err\n')]));
    const answer = await get('/logs/web', 'text=true&bare=true&tail=5&since=1h');
    expect(answer).toMatchObject({ status: 200, text: 'out\nerr\n' });
    expect(docker.requests.at(-1)).toMatch(
      /^GET \/containers\/web\/logs\?stdout=1&stderr=1&follow=0&timestamps=0&since=\d+&until=0&tail=5$/,
    );
  });
  it('streams a terminal', async () => {
    await start('application/vnd.docker.raw-stream', bytes('typed'));
    expect((await get('/logs/abc', 'text=on')).text).toBe('{"channel":"console","message":"typed"}\n');
  });
  it('says in the text what docker says', async () => {
    await start('text/plain', bytes(''));
    expect((await get('/logs/nope')).text).toBe('{"error":"No such container: nope"}');
    process.env['DOCKER_HOST'] = 'unix:///nonexistent/docker.sock';
    expect((await get('/logs/web')).text).toContain('docker does not answer');
  });
});
