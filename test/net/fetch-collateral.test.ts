import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CollateralService, serveCollateral } from '../../simulator/collateral-service.ts';
import { mockQuote } from '../../simulator/mock-quote.ts';
import { mockPki } from '../../simulator/pki.ts';
import { DstackError } from '../../src/errors.ts';
import { collateralOf } from '../../src/net/fetch-collateral.ts';
import { verifyDcap } from '../../src/verify/dcap.ts';

const PKI = mockPki(new Uint8Array(32).fill(0x31));
const QUOTE = mockQuote(PKI, {
  mrtd: new Uint8Array(48),
  rtmrs: [0, 0, 0, 0].map(() => new Uint8Array(48)),
  reportData: new Uint8Array(64),
});

let service: CollateralService;
const closers: (() => void)[] = [];
beforeAll(async () => {
  service = await serveCollateral(PKI);
});
afterAll(async () => {
  await service.close();
  for (const close of closers) close();
});

async function serving(handler: http.RequestListener): Promise<string> {
  const server = http.createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function code(work: Promise<unknown>): Promise<string> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  return thrown instanceof DstackError ? thrown.code : `no DstackError: ${String(thrown)}`;
}

/** The real service with one answer replaced. */
const bent = (path: RegExp, change: (response: http.ServerResponse) => void) =>
  serving(async (request, response) => {
    if (path.test(request.url ?? '')) return change(response);
    const real = await fetch(service.url + request.url).catch(() => undefined);
    if (real === undefined) return response.destroy(); // the service ends with the tests
    response.writeHead(real.status, Object.fromEntries(real.headers));
    response.end(Buffer.from(await real.arrayBuffer()));
  });

describe('collateralOf', () => {
  it.each(['', '/', '/sgx/certification/v4/'])('fetches what verifies a quote, base with %j', async (suffix) => {
    const collateral = await collateralOf(QUOTE, { pccs: service.url + suffix });
    expect((await verifyDcap(QUOTE, collateral, PKI.root, Date.now())).status).toBe('UpToDate');
  });

  it('wants a quote with its PCK chain', async () => {
    expect(await code(collateralOf(new Uint8Array(700)))).toBe('QUOTE_INVALID');
  });

  it('says who did not answer', async () => {
    const silent = await serving(() => {});
    expect(await code(collateralOf(QUOTE, { pccs: silent, timeoutMs: 200 }))).toBe('COLLATERAL_UNAVAILABLE');
    expect(await code(collateralOf(QUOTE, { pccs: 'http://127.0.0.1:1' }))).toBe('COLLATERAL_UNAVAILABLE');
    expect(await code(collateralOf(QUOTE, { pccs: 'file:///etc/passwd' }))).toBe('CONFIG_INVALID');
    const failing = await bent(/tcb/, (response) => response.writeHead(503).end());
    expect(await code(collateralOf(QUOTE, { pccs: failing }))).toBe('COLLATERAL_UNAVAILABLE');
    const elsewhere = await bent(/tcb/, (response) => response.writeHead(302, { location: service.url }).end());
    expect(await code(collateralOf(QUOTE, { pccs: elsewhere }))).toBe('COLLATERAL_UNAVAILABLE');
  });

  it('refuses answers that are none, and endless ones', async () => {
    const noHeader = await bent(/pckcrl/, (response) => response.end('x'));
    expect(await code(collateralOf(QUOTE, { pccs: noHeader }))).toBe('COLLATERAL_UNAVAILABLE');
    const noJson = await bent(/identity/, (response) => response.end('<html>'));
    expect(await code(collateralOf(QUOTE, { pccs: noJson }))).toBe('COLLATERAL_UNAVAILABLE');
    const noHex = await bent(/rootcacrl/, (response) => response.end('zz'));
    expect(await code(collateralOf(QUOTE, { pccs: noHex }))).toBe('COLLATERAL_UNAVAILABLE');
    const huge = await bent(/tcb/, (response) => response.end(Buffer.alloc(2 * 1024 * 1024)));
    expect(await code(collateralOf(QUOTE, { pccs: huge }))).toBe('COLLATERAL_UNAVAILABLE');
  });
});
