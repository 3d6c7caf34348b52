/** The official JavaScript SDK against our sockets, in this process and as the binary runs: what it reads must be what we mean. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { DstackClient, TappdClient } from '@phala/dstack-sdk';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Agent, startAgent } from '../../src/agent/serve.ts';
import { loadAgentConfig } from '../../src/config/agent-config.ts';
import { parseQuote } from '../../src/tdx/quote-layout.ts';
import { type Guest, makeGuest } from '../agent/canned.ts';
import { methodsOf, noting } from './sdk-surface.ts';

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
    const called = new Set<string>();
    const client = () => noting(new DstackClient(guest.dstackSock), called);

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
    it('signs and verifies with every algorithm', async () => {
      const digest = Buffer.alloc(32, 7);
      for (const algorithm of ['ed25519', 'secp256k1', 'k256', 'secp256k1_prehashed']) {
        const { signature, signature_chain, public_key } = await client().sign(algorithm, digest);
        expect(signature_chain).toHaveLength(3);
        expect(await client().verify(algorithm, digest, signature, public_key), algorithm).toMatchObject({
          valid: true,
        });
      }
      await expect(client().sign('secp256k1_prehashed', 'short')).rejects.toThrow('32-byte digest');
    });
    it('gets certificates with every option', async () => {
      const options = {
        subject: 'a',
        altNames: ['a.example', '10.0.0.1'],
        usageRaTls: true,
        usageServerAuth: false,
        usageClientAuth: true,
        notBefore: 1_700_000_000,
        notAfter: 1_800_000_000,
        withAppInfo: false,
      };
      const { certificate_chain } = await client().getTlsKey(options);
      const leaf = new X509Certificate(certificate_chain[0] ?? '');
      expect(leaf).toMatchObject({
        subject: 'CN=a',
        subjectAltName: 'DNS:a.example, IP Address:10.0.0.1',
        keyUsage: ['1.3.6.1.5.5.7.3.2'],
      });
      expect([new Date(leaf.validFrom).getTime(), new Date(leaf.validTo).getTime()]).toEqual([1.7e12, 1.8e12]);
      // this method of the SDK passes an error on as if it were the answer
      expect(await client().getTlsKey({ notBefore: 2, notAfter: 1 })).toMatchObject({
        error: expect.stringContaining('must be earlier'),
      });
    });
    it('derives the same key every time, and others for other paths', async () => {
      const get = async (path?: string) => Buffer.from((await client().getKey(path)).key).toString('hex');
      expect(await get('a')).toBe(await get('a'));
      expect(await get('a')).not.toBe(await get('b'));
      expect(await get()).toBe(await get(''));
      await expect(client().getKey('a', '', 'rsa')).rejects.toThrow();
    });
    it('takes report data of every form, up to 64 bytes', async () => {
      for (const data of ['text', Buffer.from('text'), new Uint8Array(64).fill(1)])
        expect((await client().getQuote(data)).report_data).toHaveLength(128);
      await expect(client().getQuote('x'.repeat(65))).rejects.toThrow('too large');
    });
    it('sends events, whatever the answer: this method of the SDK does not look at it', async () => {
      await client().emitEvent('mine', 'x');
      await expect(client().emitEvent('', 'x')).rejects.toThrow();
    });
    it('asks for a key with a path beyond ASCII without hanging', async () => {
      // the SDK announces too short a body for such a path: the answer is an error, but it comes at once
      const started = Date.now();
      await client()
        .getKey('ключ')
        .catch(() => undefined);
      expect(Date.now() - started).toBeLessThan(5000);
    });
    it('serves what the SDK still has of its older interface', async () => {
      expect((await client().tdxQuote('data', 'raw')).report_data).toMatch(/^64617461(?:00){60}$/);
      await expect(client().deriveKey()).rejects.toThrow('deprecated'); // the SDK itself refuses this one
    });
    it('has been asked by every method', () => expect([...called].sort()).toEqual(methodsOf(DstackClient)));
  });

  describe('TappdClient', () => {
    const called = new Set<string>();
    const client = () => noting(new TappdClient(guest.tappdSock), called);

    it('finds the agent', async () => expect(await client().isReachable()).toBe(true));
    it('derives a key', async () => {
      const { key, certificate_chain } = await client().deriveKey('path', 'subject', ['a.example']);
      expect(key).toContain('PRIVATE KEY');
      expect(certificate_chain).toHaveLength(2);
    });
    it('takes quotes with every hash, and with data as it is', async () => {
      const { body } = parseQuote(Uint8Array.from(Buffer.from((await client().tdxQuote('data')).quote, 'hex')));
      const hashed = createHash('sha512').update('app-data:data').digest();
      expect(Buffer.from(body.reportData)).toEqual(hashed);
      for (const algorithm of ['sha256', 'sha384', 'sha512', 'sha3-256', 'sha3-384', 'sha3-512', 'keccak256'] as const)
        expect((await client().tdxQuote('data', algorithm)).quote, algorithm).toMatch(/^[0-9a-f]+$/);
      const raw = parseQuote(Uint8Array.from(Buffer.from((await client().tdxQuote('raw', 'raw')).quote, 'hex')));
      expect(Buffer.from(raw.body.reportData).toString('latin1').replaceAll('\0', '')).toBe('raw');
    });
    it('has been asked by every method', () => expect([...called].sort()).toEqual(methodsOf(TappdClient)));
  });
});
