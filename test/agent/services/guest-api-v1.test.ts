/** The guest API v1 as a client sees it: mounts, methods, errors. Its keys have tests of their own. */
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Agent, startAgent } from '../../../src/agent/serve.ts';
import { decodeProtobuf } from '../../../src/codec/prpc-protobuf.ts';
import { loadAgentConfig } from '../../../src/config/agent-config.ts';
import { decodeVersioned } from '../../../src/tdx/attestation.ts';
import { VERSION } from '../../../src/version.ts';
import { type Guest, makeGuest } from '../canned.ts';
import { ask, askJson } from '../raw-client.ts';

describe('guest API v1', () => {
  let guest: Guest;
  let agent: Agent;
  let shy: Guest;
  let shyAgent: Agent;
  const start = async (compose: Record<string, unknown>): Promise<[Guest, Agent]> => {
    const made = await makeGuest({ compose });
    return [made, await startAgent(await loadAgentConfig({ file: made.configFile, root: made.dir, cwd: made.dir }))];
  };
  const call = async (target: string | number, path: string, body: unknown = {}) => {
    const answer = await askJson(target, path, body);
    return { status: answer.status, ...JSON.parse(answer.body) };
  };
  beforeAll(async () => {
    [guest, agent] = await start({
      agent_sockets: [
        { name: 'proof', allow: ['evidence'] },
        { name: 'web', allow: ['v1.GetKey', 'v1.IssueCert'], key_prefix: 'web/' },
      ],
    });
    [shy, shyAgent] = await start({ public_tcbinfo: false, public_sysinfo: true });
  });
  afterAll(async () => {
    for (const each of [agent, shyAgent]) await each.stop();
    for (const each of [guest, shy]) each.remove();
  });
  const scoped = (name: string) => `${guest.dir}/scoped/${name}.sock`;

  it('is where the specification mounts it, beside the frozen interface', async () => {
    for (const path of ['/v1/Version', '/v0/Version', '/Version'])
      expect(JSON.parse((await ask(guest.dstackSock, 'GET', path)).body)).toMatchObject({ version: VERSION });
    for (const path of ['/prpc/v1/Version', '/prpc/v0/Version', '/prpc/Version', '/prpc/Worker.Version'])
      expect((await ask(guest.port, 'GET', path)).status).toBe(200);
    const [old, same] = await Promise.all([
      call(guest.dstackSock, '/GetKey', { path: 'a' }),
      call(guest.dstackSock, '/v0/GetKey', { path: 'a' }),
    ]);
    expect(same).toEqual(old);
  });

  it.each([
    ['/v1/Nope', 404, 'Service not found: Nope'],
    ['/v1/GetQuote', 404, 'Service not found: GetQuote'],
    ['/v1/Sign', 404, 'Service not found: Sign'],
    ['/v1/EmitEvent', 404, 'Service not found: EmitEvent'],
    ['/v1/Health', 404, 'Service not found: Health'],
    ['/v0/Nope', 400, 'Service not found: Nope'],
    ['/v0/IssueCert', 400, 'Service not found: IssueCert'],
    ['/Nope', 400, 'Service not found: Nope'],
  ])('%s is %i with its reason', async (path, status, error) => {
    expect(await call(guest.dstackSock, path)).toEqual({ status, error });
  });
  it.each(['/v1', '/v1/', '/v1/GetKey/', '/v2/GetKey', '/v1/v1/GetKey', '/prpc/v1/GetKey'])(
    '%s is not served on the socket of the app: no JSON error',
    async (path) => {
      const { status, body } = await askJson(guest.dstackSock, path);
      expect([400, 404]).toContain(status);
      if (status === 404) expect(body).not.toContain('Service not found');
      else expect(path).toBe('/v1'); // the frozen interface takes it for a method
    },
  );
  it('never hands out keys outside', async () => {
    for (const method of ['GetKey', 'IssueCert', 'Attest', 'AttestGpu'])
      expect(await call(guest.port, `/prpc/v1/${method}`)).toEqual({
        status: 404,
        error: `Service not found: ${method}`,
      });
    for (const path of ['/prpc/Nope', '/prpc/v0/Nope'])
      expect(await call(guest.port, path)).toEqual({ status: 400, error: 'Service not found: Nope' });
    expect((await askJson(guest.tappdSock, '/prpc/v1/Version')).status).toBe(404);
    expect((await askJson(guest.tappdSock, '/v1/Version')).status).toBe(404);
  });

  it('derives keys in JSON, by query and in protobuf alike', async () => {
    const json = await call(guest.dstackSock, '/v1/GetKey', { domain: 'a/b', algorithm: 'secp256k1' });
    expect(json).toMatchObject({
      status: 200,
      key: expect.stringMatching(/^[0-9a-f]{64}$/),
      public_key: expect.stringMatching(/^0[23][0-9a-f]{64}$/),
      signature_chain: [expect.stringMatching(/^[0-9a-f]{130}$/), ''],
    });
    const get = await ask(guest.dstackSock, 'GET', '/v1/GetKey?domain=a%2Fb&algorithm=secp256k1');
    expect(JSON.parse(get.body).key).toBe(json.key);
    const request = Buffer.concat([
      Buffer.from([0x0a, 3]),
      Buffer.from('a/b'),
      Buffer.from([0x12, 9]),
      Buffer.from('secp256k1'),
    ]);
    const binary = await ask(guest.dstackSock, 'POST', '/v1/GetKey', request);
    const answer = decodeProtobuf('GetKeyV1Response', Buffer.from(binary.body, 'latin1'));
    expect(Buffer.from(answer.key).toString('hex')).toBe(json.key);
    expect(Buffer.from(answer.public_key).toString('hex')).toBe(json.public_key);
  });
  it.each([
    ['and is missing', {}],
    ['and is missing', { domain: 'a' }],
    ['and is missing', { domain: 'a', algorithm: '' }],
    ['not "k256"', { domain: 'a', algorithm: 'k256' }],
    ['not "a\\x1b[2Jb\\n"', { domain: 'a', algorithm: 'a\u001b[2Jb\n' }],
    [`not "${'x'.repeat(64)}"`, { domain: 'a', algorithm: 'x'.repeat(5000) }],
  ])('GetKey names the algorithms and what was asked for: %s', async (given, body) => {
    const { status, error } = await call(guest.dstackSock, '/v1/GetKey', body);
    expect({ status, error }).toEqual({ status: 400, error: `algorithm must be secp256k1 or ed25519, ${given}` });
  });
  it.each([
    ['{"domain":"a","domain":"b","algorithm":"ed25519"}', 'field domain occurs twice'],
    ['{"domain":"a","dom\\u0061in":"b","algorithm":"ed25519"}', 'field domain occurs twice'],
    ['{"domain":"\\ud800","algorithm":"ed25519"}', 'half of a surrogate pair'],
    ['{"domain":7,"algorithm":"ed25519"}', 'field domain must be a string'],
    ['{"domain":null,"algorithm":"ed25519"}', 'field domain must be a string'],
  ])('refuses %s instead of reading something into it', async (text, error) => {
    const answer = await ask(guest.dstackSock, 'POST', '/v1/GetKey?json', text);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body).error).toContain(error);
  });

  it('attests in MessagePack, whatever form the evidence has by itself', async () => {
    const { attestation, boottime_gpu_evidence } = await call(guest.dstackSock, '/v1/Attest', { report_data: 'abcd' });
    const { form, attestation: read } = decodeVersioned(Buffer.from(attestation, 'hex'));
    expect(form).toBe('V1');
    expect(Buffer.from(read.reportData).toString('hex')).toBe(`abcd${'00'.repeat(62)}`);
    expect(boottime_gpu_evidence).toEqual([]);
    expect(await call(guest.dstackSock, '/v1/Attest', { include_boottime_gpu_evidence: true })).toMatchObject({
      boottime_gpu_evidence: [],
    });
    expect(await call(guest.dstackSock, '/v1/Attest', { report_data: '00'.repeat(65) })).toMatchObject({ status: 400 });
  });
  it('tells a wrong nonce from an image without GPUs', async () => {
    for (const length of [0, 16, 31, 33])
      expect(await call(guest.dstackSock, '/v1/AttestGpu', { nonce: '00'.repeat(length) })).toEqual({
        status: 400,
        error: `nonce must be exactly 32 bytes, found ${length}`,
      });
    expect(await call(guest.dstackSock, '/v1/AttestGpu', { nonce: '00'.repeat(32) })).toMatchObject({
      status: 501,
      error: 'GPU attestation is not available in this image',
    });
  });

  it('issues a certificate with a fresh key, and evidence in MessagePack', async () => {
    const request = { subject: 'a', alt_names: ['a.example'], usage_server_auth: true, usage_ra_tls: true };
    const [one, two] = await Promise.all([1, 2].map(() => call(guest.dstackSock, '/v1/IssueCert', request)));
    expect(one.key).toContain('BEGIN PRIVATE KEY');
    expect(two.key).not.toBe(one.key);
    const leaf = new X509Certificate(one.certificate_chain[0]);
    expect(leaf.subjectAltName).toBe('DNS:a.example');
    const der = leaf.raw.toString('latin1');
    expect(der).toContain('\x83\xa7version'); // the map of three entries that begins the MessagePack form
    const frozen = await call(guest.dstackSock, '/GetTlsKey', request); // keeps the form that it had
    expect(new X509Certificate(frozen.certificate_chain[0]).raw.toString('latin1')).not.toContain('\x83\xa7version');
    expect(await call(guest.dstackSock, '/v1/IssueCert', { not_before: 5, not_after: 5 })).toMatchObject({
      status: 400,
      error: 'not_before must be earlier than not_after',
    });
  });

  it('tells who the app is, without registers', async () => {
    const info = await call(guest.dstackSock, '/v1/Info');
    expect(Object.keys(info).toSorted()).toEqual(
      [
        ...['app_compose', 'app_id', 'app_name', 'cloud_product', 'cloud_vendor', 'compose_hash', 'device_id'],
        ...['instance_id', 'key_provider_info', 'mr_aggregated', 'os_image_hash', 'status', 'vm_config'],
      ].toSorted(),
    );
    expect(info).toMatchObject({
      app_id: guest.appId,
      app_compose: guest.composeText,
      key_provider_info: '{"name":"none","id":""}',
    });
    expect(await call(guest.port, '/prpc/v1/Info')).toMatchObject({ app_compose: guest.composeText });
  });
  it('hides the documents outside unless the app made them public', async () => {
    const hidden = await call(shy.port, '/prpc/v1/Info');
    expect(hidden).toMatchObject({ app_id: shy.appId, app_compose: '', vm_config: '', key_provider_info: '' });
    expect(hidden.compose_hash).toHaveLength(64);
    expect(await call(shy.dstackSock, '/v1/Info')).toMatchObject({ app_compose: shy.composeText });
    // the frozen interface shows the key provider to everybody, as ever
    expect((await call(shy.port, '/prpc/Info')).key_provider_info).not.toBe('');
  });
  it('is healthy for an app that asks for nothing', async () => {
    expect(await call(guest.port, '/prpc/v1/Health')).toEqual({ status: 200, healthy: true, unhealthy: [], error: '' });
    expect(JSON.parse((await ask(guest.port, 'GET', '/readyz')).body).health).toBeNull();
  });

  it('scoped sockets cut it down too: a key below the prefix, and evidence in one word', async () => {
    const key = await call(scoped('web'), '/v1/GetKey', { domain: '../x', algorithm: 'ed25519' });
    expect(key).toEqual(await call(guest.dstackSock, '/v1/GetKey', { domain: 'web/../x', algorithm: 'ed25519' }));
    expect((await call(scoped('web'), '/v1/IssueCert')).status).toBe(200);
    expect(await call(scoped('web'), '/v1/Info')).toMatchObject({
      status: 403,
      error: expect.stringContaining('socket web does not allow v1.Info'),
    });
    for (const path of [
      '/v1/Attest',
      '/v1/Info',
      '/v1/Version',
      '/GetQuote',
      '/v0/Attest',
      '/Info',
      '/prpc/Tappd.Info',
    ])
      expect([path, (await askJson(scoped('proof'), path)).status]).toEqual([path, 200]);
    for (const path of [
      '/v1/GetKey',
      '/v1/IssueCert',
      '/GetKey',
      '/v0/GetTlsKey',
      '/Sign',
      '/EmitEvent',
      '/prpc/DeriveKey',
    ])
      expect([path, (await askJson(scoped('proof'), path)).status]).toEqual([path, 403]);
    expect(await call(scoped('proof'), '/v1/Nope')).toEqual({ status: 404, error: 'Service not found: Nope' });
  });

  it('is counted apart from the frozen interface', async () => {
    const { dstackSock, port } = shy;
    await call(dstackSock, '/v1/GetKey', { domain: 'a', algorithm: 'ed25519' });
    await call(dstackSock, '/v1/GetKey', { domain: 'a', algorithm: 'rsa' });
    await call(dstackSock, '/v1/Nope');
    await call(port, '/prpc/v1/Health');
    const counted = (service: string, method: string, outcome: string) =>
      `dstack_rpc_duration_seconds_count{service="${service}",method="${method}",outcome="${outcome}"} 1\n`;
    const { body } = await ask(port, 'GET', '/metrics');
    expect(body).toContain(counted('DstackGuestV1', 'GetKey', 'ok'));
    expect(body).toContain(counted('DstackGuestV1', 'GetKey', 'ALGORITHM_UNSUPPORTED'));
    expect(body).toContain(counted('DstackGuestV1', 'unknown', 'RPC_METHOD_UNKNOWN'));
    expect(body).toContain(counted('WorkerV1', 'Health', 'ok'));
    expect(body).not.toContain('service="DstackGuest",method="GetKey"');
  });
  it('answers a JSON body that does not say what it is with the remedy', async () => {
    const answer = await ask(guest.dstackSock, 'POST', '/v1/GetKey', '{"domain":"a","algorithm":"ed25519"}', {
      'content-type': 'application/x-www-form-urlencoded',
    });
    expect([answer.status, answer.headers['content-type']]).toEqual([400, 'application/json']);
    expect(JSON.parse(answer.body).error).toContain('send content-type: application/json, or add ?json');
    // a rule of the app comes before anything of the request
    expect((await ask(scoped('proof'), 'POST', '/v1/GetKey', '{}')).status).toBe(403);
  });
  it('sends the headers that keep browsers from guessing', async () => {
    for (const target of [guest.dstackSock, guest.tappdSock, guest.guestSock, guest.port]) {
      const { headers } = await ask(target, 'GET', '/nothing/here');
      expect(headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'SAMEORIGIN',
        'permissions-policy': 'interest-cohort=()',
      });
    }
  });
});
