/** curl, as people and scripts use it: every route of every listener. */
import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MOUNTS } from '../../src/agent/openapi/openapi.ts';
import type { AgentService } from '../../src/agent/openapi/summaries.ts';
import { type Agent, startAgent } from '../../src/agent/serve.ts';
import { SERVICES } from '../../src/codec/prpc-services.ts';
import { loadAgentConfig } from '../../src/config/agent-config.ts';
import { type Guest, makeGuest } from '../agent/canned.ts';

const hasCurl = (() => {
  try {
    execFileSync('curl', ['--version']);
    return true;
  } catch {
    return false;
  }
})();

describe.runIf(hasCurl)('curl', () => {
  let guest: Guest;
  let agent: Agent;
  beforeAll(async () => {
    guest = await makeGuest({ compose: { public_logs: true, public_sysinfo: true } });
    agent = await startAgent(await loadAgentConfig({ file: guest.configFile, root: guest.dir, cwd: guest.dir }));
  });
  afterAll(async () => {
    await agent.stop();
    guest.remove();
  });

  const where = (service: AgentService): string[] => {
    if (service === 'Worker' || service === 'WorkerV1') return [`http://127.0.0.1:${guest.port}`];
    const path = {
      DstackGuest: guest.dstackSock,
      DstackGuestV1: guest.dstackSock,
      Tappd: guest.tappdSock,
      GuestApi: guest.guestSock,
    }[service];
    return ['--unix-socket', path, 'http://dstack'];
  };
  const curl = async (service: AgentService, path: string, ...options: string[]) => {
    const target = where(service);
    const url = `${target.pop()}${path}`;
    const args = ['-sS', '--max-time', '20', '-w', '\n%{http_code} %{content_type}', ...options, ...target, url];
    const { stdout } = await promisify(execFile)('curl', args, { encoding: 'latin1' });
    const at = stdout.lastIndexOf('\n');
    const [status, type] = stdout.slice(at + 1).split(' ');
    return { status: Number(status), type, body: stdout.slice(0, at) };
  };

  const methods = (Object.keys(MOUNTS) as AgentService[]).flatMap((service) =>
    Object.keys(SERVICES[service]).map((method) => [service, MOUNTS[service].prefix + method] as const),
  );
  it.each(methods)('%s: GET, POST with JSON, POST with protobuf to %s', async (service, path) => {
    const [get, json, protobuf] = await Promise.all([
      curl(service, path),
      curl(service, path, '-d', '{}', '-H', 'Content-Type: application/json'),
      curl(service, path, '--data-binary', '', '-H', 'Content-Type: application/octet-stream'),
    ]);
    for (const answer of [get, json]) {
      expect([200, 400]).toContain(answer.status);
      expect(answer.type).toBe('application/json');
      JSON.parse(answer.body);
    }
    expect(protobuf.status).toBe(json.status);
    expect(protobuf.type).toBe('application/octet-stream');
  });
  it('the forms of the documentation', async () => {
    const get = await curl('DstackGuest', '/GetKey?path=a&purpose=b');
    const post = await curl('DstackGuest', '/GetKey?json', '-d', '{"path":"a","purpose":"b"}');
    expect(get.body).toBe(post.body);
    const names = await curl('DstackGuest', '/GetTlsKey?subject=x&alt_names[0]=a&usage_server_auth=true', '-g');
    expect(JSON.parse(names.body).certificate_chain).toHaveLength(2);
    expect((await curl('Tappd', '/prpc/Info?json', '-d', '')).status).toBe(200);
  });
  it.each([
    ['/', 200, 'text/html; charset=utf-8'],
    ['/healthz', 200, 'application/json'],
    ['/readyz', 200, 'application/json'],
    ['/openapi.json', 200, 'application/json'],
    ['/metrics', 200, 'text/plain; version=0.0.4; charset=utf-8'],
    ['/logs/none', 200, 'text/plain; charset=utf-8'],
    ['/nothing', 404, 'text/html; charset=utf-8'],
  ])('GET %s is %i', async (path, status, type) => {
    const answer = await curl('Worker', path);
    expect(answer).toMatchObject({ status, type: type.split(' ')[0] });
  });
  it('that begins with HTTP/2 asks again in HTTP/1.1, and so does one that offers it', async () => {
    for (const option of ['--http2-prior-knowledge', '--http2', '--http1.1', '--http1.0'])
      for (const [service, path] of [
        ['Worker', '/prpc/Version'],
        ['DstackGuest', '/Version'],
      ] as const) {
        const { status, type, body } = await curl(service, path, option);
        expect([option, status, type]).toEqual([option, 200, 'application/json']);
        expect(JSON.parse(body)).toHaveProperty('version');
      }
  });
  it('HEAD, a large upload with Expect, and one connection for several requests', async () => {
    expect((await curl('Worker', '/healthz', '-I')).status).toBe(200);
    const large = `{"path":"${'a'.repeat(2_000_000)}"}`;
    const upload = promisify(execFile)('curl', [
      '-sS',
      '--unix-socket',
      guest.dstackSock,
      '-H',
      'Expect: 100-continue',
      '-H',
      'Transfer-Encoding: chunked',
      '--data-binary',
      '@-',
      'http://dstack/GetKey?json',
    ]);
    upload.child.stdin?.end(large);
    expect((await upload).stdout).toContain('"key"');
    const { stderr } = await promisify(execFile)('curl', [
      '-sSv',
      '--unix-socket',
      guest.dstackSock,
      'http://dstack/Version',
      'http://dstack/Version',
    ]);
    expect(stderr).toMatch(/Re-using existing connection/i);
  });
});
