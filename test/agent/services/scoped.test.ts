/** Sockets with less than everything: what they refuse, and that no key leads out of their prefix. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Agent, startAgent } from '../../../src/agent/serve.ts';
import { loadAgentConfig } from '../../../src/config/agent-config.ts';
import { fromPem } from '../../../src/x509/x509.ts';

import { type Guest, makeGuest } from '../canned.ts';
import { ask, askJson } from '../raw-client.ts';

describe('scoped sockets', () => {
  let guest: Guest;
  let agent: Agent;
  const scoped = (name: string) => join(guest.dir, 'scoped', `${name}.sock`);
  const call = async (socket: string, path: string, body: unknown = {}) => {
    const { status, body: text } = await askJson(socket, path, body);
    return { status, ...JSON.parse(text) };
  };
  const whole = (path: string, body: unknown) => call(guest.dstackSock, path, body);
  beforeAll(async () => {
    guest = await makeGuest({
      compose: {
        agent_sockets: [
          {
            name: 'web',
            allow: ['GetKey', 'Sign', 'Verify', 'Tappd.DeriveKey', 'Tappd.DeriveK256Key'],
            key_prefix: 'web/',
          },
          { name: 'look', allow: ['Info', 'GetQuote', 'Version'] },
        ],
      },
    });
    agent = await startAgent(await loadAgentConfig({ file: guest.configFile, root: guest.dir, cwd: guest.dir }));
  });
  afterAll(async () => {
    await agent.stop();
    guest.remove();
  });

  it('are there for every process that has the file', () => {
    for (const name of ['web', 'look']) expect(statSync(scoped(name)).mode & 0o777).toBe(0o777);
    expect(agent.readiness().listeners.slice(-2)).toMatchObject([
      { name: 'scoped/web', state: 'listening' },
      { name: 'scoped/look', state: 'listening' },
    ]);
  });
  it('answer what the rule lists', async () => {
    expect(await call(scoped('look'), '/Info')).toMatchObject({ status: 200, app_id: guest.appId });
    expect((await call(scoped('look'), '/GetQuote', { report_data: 'aa' })).report_data).toMatch(/^aa0+$/);
    expect((await ask(scoped('look'), 'GET', '/Version')).status).toBe(200);
  });
  it.each([
    ['look', '/GetKey', 'socket look does not allow GetKey: agent_sockets[1].allow lists Info, GetQuote, Version'],
    ['look', '/EmitEvent', 'EmitEvent'],
    ['look', '/prpc/Tappd.Info', 'socket look does not allow Tappd.Info'],
    ['look', '/prpc/Info', 'Tappd.Info'],
    ['look', '/Get%4bey', 'GetKey'],
    ['web', '/Info', 'agent_sockets[0].allow'],
    ['web', '/prpc/Tappd.Tappd.RawQuote', 'Tappd.RawQuote'],
  ])('%s refuses %s with 403 and the rule', async (socket, path, text) => {
    const answer = await call(scoped(socket), path);
    expect(answer.status).toBe(403);
    expect(answer.error).toContain(text);
    const binary = await ask(scoped(socket), 'POST', path, new Uint8Array(0));
    expect([binary.status, binary.headers['content-type']]).toEqual([403, 'application/octet-stream']);
  });
  it('refuse before they look at the request, and know only methods that exist', async () => {
    expect((await ask(scoped('look'), 'POST', '/GetKey?json', '{broken')).status).toBe(403);
    expect(await call(scoped('look'), '/Nope')).toMatchObject({ status: 400, error: 'Service not found: Nope' });
    expect((await askJson(scoped('look'), '/api/Shutdown')).status).toBe(404);
    expect((await askJson(scoped('look'), '/prpc/Worker.Info')).status).toBe(400);
  });

  it.each(['a', '', '../x', '/x', '../../vms', 'web/a', '../', 'a\u0000b', 'ä', '%2e%2e/x'])(
    'GetKey of %j is the key below the prefix',
    async (path) => {
      const answer = await call(scoped('web'), '/GetKey', { path, purpose: 'p' });
      expect(answer).toEqual(await whole('/GetKey', { path: `web/${path}`, purpose: 'web/p' }));
      expect(answer.key).not.toBe((await whole('/GetKey', { path, purpose: 'p' })).key);
    },
  );
  it('the same by query, by protobuf and by the older interface', async () => {
    const { key } = await whole('/GetKey', { path: 'web/a' });
    expect(JSON.parse((await ask(scoped('web'), 'GET', '/GetKey?path=a')).body).key).toBe(key);
    const binary = await ask(scoped('web'), 'POST', '/GetKey', Buffer.from('0a0161', 'hex'));
    expect(Buffer.from(binary.body, 'latin1').toString('hex')).toContain(key);
    expect((await call(scoped('web'), '/prpc/Tappd.DeriveK256Key', { path: 'a' })).k256_key).toBe(key);
    const der = async (socket: string, path: string) =>
      Buffer.from(
        fromPem((await call(socket, '/prpc/Tappd.DeriveKey', { path, subject: 's' })).key, 'PRIVATE KEY'),
      ).toString('hex');
    expect(await der(scoped('web'), 'a')).toBe(await der(guest.tappdSock, 'web/a'));
    expect(await der(scoped('web'), 'a')).not.toBe(await der(guest.tappdSock, 'a'));
  });
  it('Sign uses a key below the prefix, and the app vouches for it under a purpose below the prefix', async () => {
    const data = Buffer.from('x').toString('hex');
    const signed = await call(scoped('web'), '/Sign', { algorithm: 'secp256k1', data });
    const app = await whole('/Sign', { algorithm: 'secp256k1', data });
    expect(signed.public_key).not.toBe(app.public_key);
    const chain = await whole('/GetKey', { path: 'web/vms', purpose: 'web/signing' });
    expect(signed.signature_chain.slice(1)).toEqual(chain.signature_chain);
    const { signature, public_key } = signed;
    expect(await call(scoped('web'), '/Verify', { algorithm: 'secp256k1', data, signature, public_key })).toMatchObject(
      { valid: true },
    );
  });
});
