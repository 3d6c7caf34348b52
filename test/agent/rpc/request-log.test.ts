/** The log of requests: who asked what, how it ended, how long it took; nothing of what was asked or answered. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LINES_A_SECOND, logRequest, type RequestOutcome } from '../../../src/agent/rpc/request-log.ts';
import { rpcHandler } from '../../../src/agent/rpc/rpc.ts';
import { DstackError } from '../../../src/errors.ts';
import type { HttpRequest } from '../../../src/http/http.ts';

const OK: RequestOutcome = {
  service: 'DstackGuest',
  method: 'GetKey',
  status: 200,
  code: 'ok',
  milliseconds: 0.44,
  peer: 'uid 1000 pid 4711',
};

let lines: string[] = [];
let at = 1_000_000;
beforeEach(() => {
  lines = [];
  at += 10_000; // a second that no test before has used up
  vi.spyOn(performance, 'now').mockImplementation(() => at);
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => lines.push(String(text)) > 0);
  vi.stubEnv('JOURNAL_STREAM', '8:1');
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

describe('the log of requests', () => {
  it('has one line a request: method, status, outcome, duration, peer, with the priority of the journal', () => {
    vi.stubEnv('DSTACK_LOG', 'debug');
    logRequest(OK);
    logRequest({ ...OK, status: 400, code: 'ALGORITHM_UNSUPPORTED' }, new Error('rsa'));
    logRequest(
      { ...OK, method: 'GetQuote', status: 400, code: 'QUOTE_EMPTY' },
      new DstackError('QUOTE_EMPTY', 'no quote'),
    );
    logRequest({ ...OK, peer: '' });
    expect(lines).toEqual([
      '<7>DstackGuest.GetKey 200 ok 0.4 ms uid 1000 pid 4711\n',
      '<6>DstackGuest.GetKey 400 ALGORITHM_UNSUPPORTED 0.4 ms uid 1000 pid 4711\n',
      '<4>DstackGuest.GetQuote 400 QUOTE_EMPTY 0.4 ms uid 1000 pid 4711: no quote\n',
      '<7>DstackGuest.GetKey 200 ok 0.4 ms\n',
    ]);
  });
  it('tells the versions of the guest API apart', async () => {
    vi.stubEnv('DSTACK_LOG', 'debug');
    const ask = (handler: ReturnType<typeof rpcHandler>, path: string) =>
      handler({ method: 'GET', path, query: '', headers: {}, peer: 'uid 1 pid 2', body: () => new Uint8Array(0) });
    const Version = async () => ({ version: 'v', rev: 'r' });
    await ask(rpcHandler('DstackGuestV1', { Version }, { base: '/v1', unknownMethod: 404 }), '/v1/Version');
    await ask(rpcHandler('DstackGuestV1', { Version }, { base: '/v1', unknownMethod: 404 }), '/v1/GetQuote');
    await ask(rpcHandler('WorkerV1', { Version }, { base: '/prpc/v1' }), '/prpc/v1/Version');
    expect(lines).toEqual([
      '<7>DstackGuestV1.Version 200 ok 0.0 ms uid 1 pid 2\n',
      '<6>DstackGuestV1.unknown 404 RPC_METHOD_UNKNOWN 0.0 ms uid 1 pid 2\n',
      '<7>WorkerV1.Version 200 ok 0.0 ms uid 1 pid 2\n',
    ]);
  });
  it('shows routine only to those who debug, what changes the machine always', () => {
    for (const method of ['GetKey', 'GetQuote', 'EmitEvent', 'Shutdown']) logRequest({ ...OK, method });
    expect(lines.map((line) => line.split(' ')[0])).toEqual(['<6>DstackGuest.EmitEvent', '<6>DstackGuest.Shutdown']);
  });
  it('writes so many lines a second and then a count', () => {
    const failed: RequestOutcome = { ...OK, status: 400, code: 'RPC_REQUEST_INVALID' };
    for (let i = 0; i < LINES_A_SECOND + 30; i++) logRequest(failed);
    expect(lines).toHaveLength(LINES_A_SECOND);
    at += 1000;
    logRequest(failed);
    expect(lines.slice(LINES_A_SECOND)).toEqual([
      '<4>30 more requests with a failure are not logged\n',
      expect.stringContaining('RPC_REQUEST_INVALID'),
    ]);
  });
  it('holds nothing of a request or an answer, whatever happens', async () => {
    vi.stubEnv('DSTACK_LOG', 'debug');
    const handler = rpcHandler(
      'DstackGuest',
      {
        GetKey: async () => ({ key: new TextEncoder().encode('geheim-answer'), signature_chain: [] }),
        Sign: async ({ algorithm }) => {
          throw new DstackError('ALGORITHM_UNSUPPORTED', `no ${algorithm}`, { field: 'algorithm', value: algorithm });
        },
      },
      { base: '/' },
    );
    const ask = (path: string, body: string): Promise<unknown> => {
      const request: HttpRequest = {
        method: 'POST',
        path,
        query: 'json&geheim=1',
        headers: { 'x-geheim': 'geheim' },
        peer: 'uid 0 pid 1',
        body: () => new TextEncoder().encode(body),
      };
      return handler(request);
    };
    await ask('/GetKey', '{"path":"geheim"}');
    await ask('/GetKey', '{"path":1,"geheim":2}');
    await ask('/GetKey', '{"geheim');
    await ask('/Sign', '{"algorithm":"geheim","data":"67656865696d"}');
    await ask('/geheim', '{}');
    expect(lines).toHaveLength(5);
    expect(lines.join('')).not.toMatch(/geheim|67656865/);
    expect(lines[4]).toBe('<6>DstackGuest.unknown 400 RPC_METHOD_UNKNOWN 0.0 ms uid 0 pid 1\n');
  });
});
