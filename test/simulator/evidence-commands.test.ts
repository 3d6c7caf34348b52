/** The simulator's evidence as separate processes make and serve it; judged by dstack-util and by an unmodified verifier. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collateralFrom } from '../../src/verify/collateral-source.ts';
import { readPlatform } from '../../src/verify/pck.ts';
import { fetchCollateral } from '../../src/verify/pcs-client.ts';
import { parseCertificate } from '../../src/x509/x509.ts';

const { QuoteVerifier } = createRequire(import.meta.url)('@phala/dcap-qvl') as typeof import('@phala/dcap-qvl');
const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
const SEED = '5a'.repeat(32);
const run = promisify(execFile);
const env = { NO_COLOR: '1', PATH: process.env['PATH'] ?? '' };
const sim = (...args: string[]) =>
  run(BUN, ['simulator/dstack-sim.ts', ...args, '--seed', SEED], { env, encoding: 'buffer' });

let dir: string;
let service: ChildProcess;
let url: string;
const path = (name: string): string => join(dir, name);

/** Starts the service on any port and waits for its address. */
async function startService(): Promise<void> {
  const argv = ['simulator/dstack-sim.ts', 'collateral', '--serve', '--listen', '127.0.0.1:0', '--seed', SEED];
  service = spawn(BUN, argv, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  url = await new Promise<string>((resolve, reject) => {
    service.stdout?.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()));
    service.once('exit', () => reject(new Error('the service ended')));
  });
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sim-'));
  await Promise.all([startService(), sim('pki', '--out', path('pki'))]);
}, 60_000);
afterAll(() => {
  service.kill();
  rmSync(dir, { recursive: true });
});

describe('pki', () => {
  it('is byte for byte the same in two processes with one seed', async () => {
    await sim('pki', '--out', path('again'));
    const names = readdirSync(path('pki'));
    expect(names.toSorted()).toEqual(readdirSync(path('again')).toSorted());
    expect(names).toContain('tdx-root-ca.pem');
    for (const name of names) {
      expect(Buffer.compare(readFileSync(join(path('pki'), name)), readFileSync(join(path('again'), name))), name).toBe(
        0,
      );
    }
    const root = new X509Certificate(readFileSync(join(path('pki'), 'tdx-root-ca.pem')));
    expect(root.subject).toBe('CN=Mock Intel SGX Root CA');
  });

  it('keeps the seed to its owner', () => {
    expect(statSync(join(path('pki'), 'tee-simulator.json')).mode & 0o777).toBe(0o600);
    const document = JSON.parse(readFileSync(join(path('pki'), 'tee-simulator.json'), 'utf8'));
    expect(document).toEqual({
      platform: 'dstack-tdx',
      mock_attestation_seed: SEED,
      collateral_base_url: 'http://127.0.0.1:8088',
    });
  });
});

describe('collateral service', () => {
  const root = () => new Uint8Array(new X509Certificate(readFileSync(join(path('pki'), 'tdx-root-ca.pem'))).raw);
  const platform = () => readPlatform(readFileSync(join(path('pki'), 'tdx-pck-chain.pem'), 'latin1'));

  it('has the paths of the PCS, for both kinds of TEE', async () => {
    for (const tee of ['sgx', 'tdx']) {
      const tcb = await fetch(`${url}/${tee}/certification/v4/tcb?fmspc=000000000000`);
      expect([tcb.status, tcb.headers.get('content-type')]).toEqual([200, 'application/json']);
      expect(Object.keys((await tcb.json()) as object)).toEqual(['tcbInfo', 'signature']);
      const qe = await fetch(`${url}/${tee}/certification/v4/qe/identity?update=standard`);
      expect(Object.keys((await qe.json()) as object)).toEqual(['enclaveIdentity', 'signature']);
    }
    const crl = await fetch(`${url}/sgx/certification/v4/pckcrl?ca=platform&encoding=der`);
    expect(decodeURIComponent(crl.headers.get('SGX-PCK-CRL-Issuer-Chain') ?? '')).toMatch(/^-----BEGIN CERTIFICATE/);
    expect(new Uint8Array(await crl.arrayBuffer())[0]).toBe(0x30);
    expect(await (await fetch(`${url}/sgx/certification/v4/rootcacrl`)).text()).toMatch(/^30[0-9a-f]+$/);
    expect((await fetch(`${url}/nothing`)).status).toBe(404);
    expect((await fetch(`${url}/sgx/certification/v4/rootcacrl`, { method: 'POST' })).status).toBe(404);
  });

  it('satisfies an unmodified verifier and its own fetcher', async () => {
    const { getCollateral } = createRequire(import.meta.url)('@phala/dcap-qvl') as typeof import('@phala/dcap-qvl');
    const { stdout: quote } = await sim('quote', '--report-data', '00ff');
    const collateral = await getCollateral(url, quote);
    const verified = QuoteVerifier.newWithRootCa(Buffer.from(root())).verify(quote, collateral, Date.now() / 1000);
    expect(verified.status).toBe('UpToDate');
    expect(Buffer.from(verified.report.asTd10()?.reportData ?? []).toString('hex')).toBe('00ff'.padEnd(128, '0'));
  });

  it('feeds our own client, with and without the API path, and its cache', async () => {
    const anchor = parseCertificate(root());
    const plain = await fetchCollateral(url, platform(), anchor);
    expect(await fetchCollateral(`${url}/sgx/certification/v4/`, platform(), anchor)).toMatchObject({
      pck_crl: plain.pck_crl,
    });
    const cacheDir = path('cache');
    await collateralFrom({ from: url, root: anchor, cacheDir })(platform());
    const cached = await collateralFrom({ root: anchor, cacheDir })(platform());
    expect(cached.source).toContain(cacheDir);
    expect(JSON.parse(cached.collateral.tcb_info)).toMatchObject({ id: 'TDX' });
  });

  it('is needed: nothing and wrong answers are told apart from a bad quote', async () => {
    const anchor = parseCertificate(root());
    const unavailable = { code: 'COLLATERAL_UNAVAILABLE' };
    await expect(fetchCollateral('http://127.0.0.1:9', platform(), anchor)).rejects.toMatchObject(unavailable);
    await expect(fetchCollateral(`${url}/nothing`, platform(), anchor)).rejects.toMatchObject(unavailable);
  });
});

describe('quote', () => {
  const verify = async (file: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> => {
    const rootFile = join(path('pki'), 'tdx-root-ca.pem');
    const argv = ['bin/dstack-util.ts', 'verify', file, '--root-ca', rootFile, '--any-app', '--json', ...args];
    try {
      return { code: 0, ...(await run(BUN, argv, { env: { ...env, HOME: dir } })) };
    } catch (thrown) {
      return thrown as { code: number; stdout: string; stderr: string };
    }
  };

  it('of an app passes dstack-util verify over the network, then from its cache', async () => {
    writeFileSync(path('app.json'), '{"manifest_version":2,"name":"x","runner":"bash"}');
    await sim(
      'quote',
      '--app-compose',
      path('app.json'),
      '--event',
      'mine=00ff',
      '--json',
      '--out',
      path('answer.json'),
    );
    expect((await verify(path('answer.json'))).code).toBe(3);
    const first = await verify(path('answer.json'), '--collateral', url, '--expect', 'event mine=00ff');
    expect([first.code, JSON.parse(first.stdout).verdict]).toEqual([0, 'valid']);
    const { collateral, events } = JSON.parse((await verify(path('answer.json'))).stdout);
    expect(collateral.source).toMatch(/^cache /);
    expect(events.at(-1)).toMatchObject({ event: 'mine', payload: '00ff', state: 'app' });
  });

  it.each([
    ['--report-data', '00'.repeat(65)],
    ['--event', 'x'],
    ['--mrtd', '00'],
  ])('refuses %s %s', async (option, value) => {
    await expect(sim('quote', option, value)).rejects.toMatchObject({ code: expect.any(Number) });
  });
});
