import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HostApi } from '../../simulator/host-api.ts';
import type { HostEvent } from '../../simulator/host-event.ts';

const dir = mkdtempSync(join(tmpdir(), 'host-api-'));
const socketPath = join(dir, 'socket');
const api = new HostApi({ ring: 3, version: '1.2.3' });
beforeAll(() => api.listen({ path: socketPath }));
afterAll(async () => {
  await api.close();
  rmSync(dir, { recursive: true });
});

function call(path: string, body?: unknown, method = 'POST'): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, path, method }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    outgoing.on('error', reject);
    outgoing.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
  });
}
const notify = (event: string, payload: string) => call('/api/Notify?json', { event, payload });

describe('the host API', () => {
  it('answers Info', async () => {
    expect(await call('/api/Info?json')).toEqual({ status: 200, text: '{"name":"dstack-sim","version":"1.2.3"}' });
  });

  it('keeps the last events, tells listeners, and answers Notify with null', async () => {
    const heard: HostEvent[] = [];
    api.on('event', (event) => heard.push(event));
    for (const payload of ['a', 'b', 'c', 'd']) {
      expect(await notify('boot.progress', payload)).toEqual({ status: 200, text: 'null' });
    }
    expect(api.events.map(({ payload }) => payload)).toEqual(['b', 'c', 'd']);
    expect(heard.map(({ payload }) => payload)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('ignores a payload of more than 4096 bytes, counted in UTF-8, and still answers', async () => {
    expect((await notify('boot.progress', 'x'.repeat(4096))).status).toBe(200);
    expect(api.events.at(-1)?.payload).toHaveLength(4096);
    expect((await notify('boot.progress', 'ä'.repeat(2049))).status).toBe(200);
    expect(api.events.at(-1)?.payload).toHaveLength(4096);
  });

  it('understands instance.info and shutdown.progress', async () => {
    await notify('shutdown.progress', 'stopping');
    expect(api.stopped).toBe(false);
    await notify('shutdown.progress', 'powering off');
    expect(api.stopped).toBe(true);
    await notify('instance.info', '{"app_id":"00"}');
    expect(api.instanceInfo).toBe('{"app_id":"00"}');
  });

  it('refuses what it does not serve with an error in the form of prpc', async () => {
    expect(await call('/api/Nothing?json', {})).toEqual({
      status: 400,
      text: '{\n  "error": "Service not found: Nothing"\n}',
    });
    expect((await call('/api/GetSealingKey?json', { quote: '00' })).text).toContain('no SGX enclave');
    expect((await call('/other', {})).status).toBe(404);
    expect((await call('/api/Notify?json', '[]')).status).toBe(400);
    expect((await call('/api/Notify?json', { event: 1 })).text).toContain('field event must be a string');
    expect((await call('/api/Notify', {})).text).toContain('only JSON');
    expect((await call('/api/Notify?json', 'x'.repeat(70_000))).text).toContain('payload too large');
  });
});
