/** The official JavaScript SDK against our sockets, in this process and as the binary runs: what it reads must be what we mean. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { DstackClient, TappdClient } from '@phala/dstack-sdk';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Agent, startAgent } from '../../src/agent/serve.ts';
import { loadAgentConfig } from '../../src/config/agent-config.ts';
import { parseQuote } from '../../src/tdx/quote-layout.ts';
import { type Guest, makeGuest } from '../agent/canned.ts';

const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';

describe.each(['Node, in this process', 'Bun, as a process'])('an agent under %s', (how) => {
  let guest: Guest;
  let agent: Agent | undefined;
  let child: ChildProcess | undefined;
  beforeAll(async () => {
    vi.spyOn(console, 'warn').mockReturnValue(); // the older client says that it is deprecated
    guest = await makeGuest();
    if (how.startsWith('Node')) {
      agent = await startAgent(await loadAgentConfig({ file: guest.configFile, root: guest.dir, cwd: guest.dir }));
    } else {
      child = spawn(BUN, ['bin/dstack-util.ts', 'serve', '-c', guest.configFile], { stdio: 'ignore' });
      await vi.waitUntil(() => existsSync(guest.dstackSock) && existsSync(guest.tappdSock), { timeout: 15_000 });
    }
  });
  afterAll(async () => {
    await agent?.stop();
    child?.kill('SIGKILL');
    guest.remove();
    vi.restoreAllMocks();
  });

  describe('DstackClient', () => {
    const client = () => new DstackClient(guest.dstackSock);

    it('finds the agent', async () => expect(await client().isReachable()).toBe(true));
    it('reads the version', async () => expect(await client().version()).toMatchObject({ rev: expect.any(String) }));
    it('gets keys of both algorithms', async () => {
      const key = await client().getKey('wallet/ethereum', 'mainnet');
      expect(key.key).toHaveLength(32);
      expect(key.signature_chain[0]).toHaveLength(65);
      const other = await client().getKey('wallet/ethereum', 'mainnet', 'ed25519');
      expect(Buffer.from(other.key)).toEqual(Buffer.from(key.key));
    });
    it('gets a quote whose event log replays to the registers of the quote', async () => {
      const quote = await client().getQuote('user data');
      const { body } = parseQuote(Uint8Array.from(Buffer.from(quote.quote, 'hex')));
      expect(Buffer.from(body.reportData).toString('utf8').replace(/\0+$/, '')).toBe('user data');
      expect(quote.replayRtmrs()[3]).toBe(Buffer.from(body.rtmrs[3]).toString('hex'));
    });
    it('reads the identity, also with text beyond ASCII, without waiting for the connection to end', async () => {
      const started = Date.now();
      const info = await client().info();
      expect(info).toMatchObject({ app_id: guest.appId, app_name: 'größe <b>' });
      expect(info.tcb_info.app_compose).toBe(guest.composeText);
      expect(Date.now() - started).toBeLessThan(5000);
    });
    it('gets a TLS key', async () => {
      const answer = await client().getTlsKey({
        subject: 'example.org',
        usageRaTls: true,
        altNames: ['example.org'],
        withAppInfo: true,
        notAfter: 2_000_000_000,
      });
      expect(answer.certificate_chain).toHaveLength(2);
      expect(answer.asUint8Array(32)).toHaveLength(32);
    });
    it('attests, signs and verifies', async () => {
      expect((await client().attest('x')).attestation).toMatch(/^00/);
      const data = Buffer.from('hello');
      const signed = await client().sign('ed25519', data);
      const check = (bytes: Buffer) => client().verify('ed25519', bytes, signed.signature, signed.public_key);
      expect(await check(data)).toMatchObject({ valid: true });
      expect(await check(Buffer.from('other'))).toMatchObject({ valid: false });
    });
    it('asks for a key with a path beyond ASCII without hanging', async () => {
      // the SDK announces too short a body for such a path: the answer is an error, but it comes at once
      const started = Date.now();
      await client()
        .getKey('ключ')
        .catch(() => undefined);
      expect(Date.now() - started).toBeLessThan(5000);
    });
  });

  describe('TappdClient', () => {
    const client = () => new TappdClient(guest.tappdSock);

    it('finds the agent', async () => expect(await client().isReachable()).toBe(true));
    it('derives a key', async () => {
      const { key, certificate_chain } = await client().deriveKey('path', 'subject', ['a.example']);
      expect(key).toContain('PRIVATE KEY');
      expect(certificate_chain).toHaveLength(2);
    });
    it('takes a quote', async () => {
      const quote = await client().tdxQuote('data', 'sha256');
      expect(quote.quote).toMatch(/^[0-9a-f]+$/);
      expect((await client().tdxQuote('raw data', 'raw')).quote).toMatch(/^[0-9a-f]+$/);
    });
  });
});
