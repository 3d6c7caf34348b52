import { X509Certificate } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cannedBackend } from '../../../src/agent/evidence/canned-backend.ts';
import { type Agent, startAgent } from '../../../src/agent/serve.ts';
import { loadAgentConfig } from '../../../src/config/agent-config.ts';
import { decodeVersioned } from '../../../src/tdx/attestation.ts';
import { parseQuote } from '../../../src/tdx/quote-layout.ts';
import { realTdxMachine } from '../../../src/tdx/tdx-machine.ts';
import { type Guest, type GuestOptions, makeGuest } from '../canned.ts';
import { ask, askJson } from '../raw-client.ts';

const open: { guest: Guest; agent: Agent }[] = [];

async function start(options: GuestOptions = {}): Promise<Guest & { agent: Agent }> {
  const guest = await makeGuest(options);
  const agent = await startAgent(await loadAgentConfig({ file: guest.configFile, root: guest.dir, cwd: guest.dir }));
  open.push({ guest, agent });
  return { ...guest, agent };
}

afterAll(async () => {
  for (const { guest, agent } of open) {
    await agent.stop();
    guest.remove();
  }
});

const call = async (target: string | number, path: string, body: unknown = {}) => {
  const answer = await askJson(target, path, body);
  return { status: answer.status, ...JSON.parse(answer.body) };
};
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));
const NONE = { status: 400, error: expect.any(String) };

describe('the agent with canned evidence', () => {
  let guest: Awaited<ReturnType<typeof start>>;
  beforeAll(async () => {
    guest = await start();
  });

  it('gives the same key for a path, whatever the purpose, and signs the purpose', async () => {
    const one = await call(guest.dstackSock, '/GetKey', { path: 'a', purpose: 'x' });
    const two = await call(guest.dstackSock, '/GetKey', { path: 'a', purpose: 'y' });
    expect(one.key).toMatch(/^[0-9a-f]{64}$/);
    expect(two.key).toBe(one.key);
    expect(two.signature_chain[0]).not.toBe(one.signature_chain[0]);
    expect(one.signature_chain[1]).toBe('');
    const old = await call(guest.tappdSock, '/prpc/Tappd.DeriveK256Key', { path: 'a', purpose: 'x' });
    expect(old).toMatchObject({ k256_key: one.key, k256_signature_chain: one.signature_chain });
    expect(await call(guest.dstackSock, '/GetKey', { algorithm: 'secp256k1_prehashed' })).toEqual({
      status: 400,
      error: 'Unsupported algorithm',
    });
  });

  it('quotes with the report data of the caller, padded', async () => {
    const answer = await call(guest.dstackSock, '/GetQuote', { report_data: '0xABCD' });
    const padded = `abcd${'00'.repeat(62)}`;
    expect(answer.report_data).toBe(padded);
    expect(Buffer.from(parseQuote(bytes(answer.quote)).body.reportData).toString('hex')).toBe(padded);
    expect(JSON.parse(answer.event_log)).toHaveLength(8);
    expect(JSON.parse(answer.vm_config)).toHaveProperty('os_image_hash');
    const { form, attestation } = decodeVersioned(bytes(answer.attestation));
    expect(form).toBe('V1');
    expect(Buffer.from(attestation.reportData).toString('hex')).toBe(padded);
    expect(await call(guest.dstackSock, '/GetQuote', { report_data: '00'.repeat(65) })).toEqual({
      status: 400,
      error: 'Report data is too long',
    });
  });

  it('attests in the form of the fixture', async () => {
    const { attestation } = await call(guest.dstackSock, '/Attest', { report_data: '01' });
    expect(decodeVersioned(bytes(attestation)).form).toBe('V0');
  });

  it('binds report data by hash on the older socket', async () => {
    const answer = await call(guest.tappdSock, '/prpc/TdxQuote', { report_data: '01' });
    expect(answer).toMatchObject({ hash_algorithm: 'sha512', prefix: 'app-data' });
    expect(
      await call(guest.tappdSock, '/prpc/Tappd.Tappd.TdxQuote', {
        report_data: '01',
        prefix: 'p',
        hash_algorithm: 'sha256',
      }),
    ).toMatchObject({
      hash_algorithm: 'sha256',
      prefix: 'p',
    });
    expect(await call(guest.tappdSock, '/prpc/RawQuote', { report_data: '00'.repeat(64) })).toMatchObject({
      hash_algorithm: 'raw',
      prefix: '',
    });
    expect(await call(guest.tappdSock, '/prpc/RawQuote', { report_data: '00' })).toEqual({
      status: 400,
      error: 'invalid content length',
    });
    expect(await call(guest.tappdSock, '/prpc/TdxQuote', { hash_algorithm: 'md5' })).toEqual({
      status: 400,
      error: 'invalid hash algorithm',
    });
  });

  it('tells who the app is', async () => {
    const info = await call(guest.dstackSock, '/Info');
    expect(info).toMatchObject({
      app_id: guest.appId,
      instance_id: '07'.repeat(20),
      app_name: 'größe <b>',
      key_provider_info: '{"name":"none","id":""}',
      os_image_hash: 'ab'.repeat(32),
    });
    const tcb = JSON.parse(info.tcb_info);
    expect(tcb).toMatchObject({ mrtd: '11'.repeat(48), app_compose: guest.composeText });
    expect(tcb.event_log[2]).toMatchObject({ imr: 3, event: 'app-id', event_payload: guest.appId });
    expect(tcb.event_log[2].digest).toHaveLength(96);
    await expect
      .poll(async () => (await call(guest.dstackSock, '/Info')).app_cert, { timeout: 5000 })
      .toContain('BEGIN CERTIFICATE');
    expect((await call(guest.guestSock, '/api/Info')).app_id).toBe(guest.appId);
  });

  it('signs, and verifies what it signed', async () => {
    for (const algorithm of ['ed25519', 'secp256k1', 'k256']) {
      const signed = await call(guest.dstackSock, '/Sign', { algorithm, data: '010203' });
      expect(signed.signature_chain).toHaveLength(3);
      const { signature, public_key } = signed;
      expect(await call(guest.dstackSock, '/Verify', { algorithm, data: '010203', signature, public_key })).toEqual({
        status: 200,
        valid: true,
      });
      expect(await call(guest.dstackSock, '/Verify', { algorithm, data: '010204', signature, public_key })).toEqual({
        status: 200,
        valid: false,
      });
    }
    expect(await call(guest.dstackSock, '/Sign', { data: '01' })).toEqual({
      status: 400,
      error: 'Unsupported algorithm',
    });
  });

  it('issues TLS keys with a certificate of the app’s own CA', async () => {
    const answer = await call(guest.dstackSock, '/GetTlsKey', {
      subject: 'example.org',
      alt_names: ['example.org', '10.0.0.1'],
      usage_ra_tls: true,
      usage_server_auth: true,
      with_app_info: true,
    });
    expect(answer.key).toMatch(/^-----BEGIN PRIVATE KEY-----/);
    const [leaf, ca] = answer.certificate_chain.map((pem: string) => new X509Certificate(pem));
    expect(leaf.checkIssued(ca)).toBe(true);
    expect(leaf.verify(ca.publicKey)).toBe(true);
    expect(leaf.subjectAltName).toBe('DNS:example.org, IP Address:10.0.0.1');
    const der = Buffer.from(leaf.raw).toString('hex');
    // 1.3.6.1.4.1.62397.1.8 and .9
    for (const oid of ['08', '09']) expect(der).toContain(`060a2b0601040183e73d01${oid}`);
    expect(await call(guest.dstackSock, '/GetTlsKey', { not_before: 10, not_after: 10 })).toEqual({
      status: 400,
      error: 'not_before must be earlier than not_after',
    });
    const first = await call(guest.tappdSock, '/prpc/Tappd.DeriveKey', { path: 'p' });
    const second = await call(guest.tappdSock, '/prpc/Tappd.DeriveKey', { path: 'p' });
    expect(second.key).toBe(first.key);
    expect((await call(guest.tappdSock, '/prpc/Tappd.DeriveKey', { path: 'p', random_seed: true })).key).not.toBe(
      first.key,
    );
  });

  it('does not measure events with canned evidence and never events of the boot', async () => {
    expect(await call(guest.dstackSock, '/EmitEvent', { event: 'mine', payload: '01' })).toEqual(NONE);
    expect(await call(guest.dstackSock, '/EmitEvent', { event: 'app-id', payload: '01' })).toMatchObject({
      status: 400,
      error: expect.stringContaining('reserved'),
    });
  });

  it('serves the worker on TCP with its version in a header', async () => {
    const answer = await ask(guest.port, 'GET', '/prpc/Worker.Version');
    expect(answer.headers['x-app-version']).toMatch(/^v\d.*\(.+\)$/);
    expect(JSON.parse(answer.body)).toHaveProperty('rev');
    const evidence = await call(guest.port, '/prpc/GetAttestationForAppKey', { algorithm: 'ed25519' });
    expect(Buffer.from(evidence.report_data, 'hex').toString()).toMatch(/^dip1::ed25519-pk:[\w-]{43}\0+$/);
    expect(await call(guest.port, '/prpc/GetAttestationForAppKey', {})).toEqual({
      status: 400,
      error: 'Unsupported algorithm',
    });
    expect(await call(guest.port, '/prpc/Worker.GetKey', {})).toMatchObject({ error: 'Service not found: GetKey' });
  });

  it('keeps keys away from the public listener', async () => {
    for (const path of ['/GetKey', '/prpc/GetKey', '/prpc/Tappd.DeriveK256Key'])
      expect((await askJson(guest.port, path)).status).not.toBe(200);
  });

  it('tells the host about the machine', async () => {
    const info = await call(guest.guestSock, '/api/SysInfo');
    expect(info.num_cpus).toBeGreaterThan(0);
    expect(info.total_memory).toBeGreaterThan(info.free_memory);
    expect(info.disks[0]).toMatchObject({ mount_point: '/' });
    expect(await call(guest.guestSock, '/api/NetworkInfo')).toHaveProperty('interfaces');
  });

  it('shows readiness', async () => {
    const answer = await ask(guest.port, 'GET', '/readyz');
    expect(answer.status).toBe(200);
    const ready = JSON.parse(answer.body);
    expect(ready).toMatchObject({ ready: true, evidence: 'canned' });
    expect(ready.listeners.map(({ state }: { state: string }) => state)).toEqual([
      'listening',
      'listening',
      'listening',
      'listening',
    ]);
  });

  it('shows a page that escapes what it did not write, and says that it is a simulator', async () => {
    const page = await ask(guest.port, 'GET', '/');
    const html = Buffer.from(page.body, 'latin1').toString();
    expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(page.headers['content-security-policy']).toContain("default-src 'none'");
    expect(html).toContain('größe &lt;b&gt;');
    expect(html).not.toContain('größe <b>');
    expect(html).not.toContain('<script');
    expect(html).toContain('Simulator.');
    expect(html).toContain(guest.appId);
    expect((await ask(guest.port, 'HEAD', '/')).body).toBe('');
    expect((await ask(guest.port, 'POST', '/', '')).status).toBe(405);
  });
});

describe('what the app makes public', () => {
  it('hides the TCB from outside without public_tcbinfo, never from the app', async () => {
    const guest = await start({ compose: { public_tcbinfo: false } });
    expect(await call(guest.port, '/prpc/Info')).toMatchObject({ tcb_info: '', vm_config: '', app_id: guest.appId });
    expect((await call(guest.dstackSock, '/Info')).tcb_info).toContain('rtmr3');
    expect((await ask(guest.port, 'GET', '/')).body).not.toContain('RTMR3');
  });
  it('has /metrics and /logs only when asked for', async () => {
    const closed = await start();
    for (const path of ['/metrics', '/logs/web']) expect((await ask(closed.port, 'GET', path)).status).toBe(404);
    const guest = await start({ compose: { public_sysinfo: true, public_logs: true } });
    const metrics = await ask(guest.port, 'GET', '/metrics');
    expect(metrics.body).toMatch(/# TYPE system_num_cpus gauge\nsystem_num_cpus \d+\n/);
    expect(metrics.body).toMatch(/disk_total_size\{name="[^"]+",mount_point="\/"\} \d+/);
    expect((await ask(guest.port, 'GET', '/logs/web?since=x')).body).toContain('{"error":"Invalid since"}');
    for (const path of ['/logs/web?follow=maybe', '/logs/..', '/logs/a%2Fb', '/logs/'])
      expect((await ask(guest.port, 'GET', path)).status).toBe(404);
  });
});

describe('the canned backend', () => {
  it('reads quote and event log from files of their own', async () => {
    const guest = await start({ splitFiles: true });
    expect(await call(guest.dstackSock, '/Info')).toMatchObject({ app_id: guest.appId });
  });
  it('keeps the fixture when report data is not to be patched', async () => {
    const guest = await start({ patchReportData: false });
    const { quote } = await call(guest.dstackSock, '/GetQuote', { report_data: 'ff' });
    expect(parseQuote(bytes(quote)).body.reportData).toEqual(new Uint8Array(64));
  });
  it('fills preimages of version 2 events, and attests them as V1', async () => {
    const guest = await start({ eventVersion: 2 });
    const { event_log } = await call(guest.dstackSock, '/GetQuote', {});
    expect(JSON.parse(event_log)[1].preimage).toMatch(/^[0-9a-f]+$/);
    expect(decodeVersioned(bytes((await call(guest.dstackSock, '/Attest')).attestation)).form).toBe('V1');
  });
  it('refuses to start beside a real device', async () => {
    const guest = await makeGuest();
    mkdirSync(join(guest.dir, 'dev'));
    writeFileSync(join(guest.dir, 'dev/tdx_guest'), '');
    const config = { attestationFile: join(guest.dir, 'attestation.bin'), patchReportData: true };
    await expect(cannedBackend(config, '', { ...realTdxMachine, root: guest.dir })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('real TDX device'),
    });
    guest.remove();
  });
});
