/** The KMS client against the development KMS, partly as a process: what it gets, and what it says when something is wrong. */
import { createServer } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Faults } from '../../simulator/kms/faults.ts';
import type { KmsOptions } from '../../simulator/kms/server.ts';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { formatAppKeys, parseAppKeys, providerId } from '../../src/config/app-keys.ts';
import { DstackError, errorCauses } from '../../src/errors.ts';
import { compressedPublicKey, keccak256, recoverPublicKey } from '../../src/keys/secp256k1.ts';
import { freshTlsKey } from '../../src/keys/tls-key.ts';
import { certifyKey } from '../../src/net/certify.ts';
import { type AppKeysRequest, kmsBase, requestAppKeys } from '../../src/net/kms-client.ts';
import { KMS_USAGE } from '../../src/net/ra-tls-client.ts';
import { failure, rejection } from '../failure.ts';
import { type Guest, guest, temporaryFolder, VM_CONFIG } from '../simulator/kms/guest.ts';
import { type KmsProcess, type RunningKms, runKms, simulatedTrust, spawnKms } from './kms-process.ts';

const app = guest();
const state = temporaryFolder();
let trust: Awaited<ReturnType<typeof simulatedTrust>>;
const running: RunningKms[] = [];

beforeAll(async () => {
  trust = await simulatedTrust();
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((kms) => kms.stop()));
});
afterAll(async () => {
  await trust.end();
  state.remove();
});

async function start(...options: string[]): Promise<KmsProcess> {
  const kms = await spawnKms(...options);
  running.push(kms);
  return kms;
}

async function startHere(options: Partial<KmsOptions> = {}, port = 0): Promise<RunningKms> {
  const kms = await runKms(options, port);
  running.push(kms);
  return kms;
}

/** Exactly these methods were answered, with keys or not. */
const answered = (kms: RunningKms, methods: readonly string[]) =>
  // what a process of its own has answered is known from its log, which a busy machine delivers late
  expect.poll(() => kms.requests.map(({ method }) => method), { timeout: 10_000 }).toEqual(methods);

const onlyApp = (appId: string): Partial<KmsOptions> => ({
  policy: { apps: new Set([appId]), composeHashes: new Set() },
});

function ask(urls: readonly string[], from: Guest = app, changes: Partial<AppKeysRequest> = {}) {
  return requestAppKeys({
    urls,
    vmConfig: VM_CONFIG,
    attest: from.attest,
    usage: KMS_USAGE,
    evidenceRules: trust.rules,
    ...changes,
  });
}

/** An address where nobody listens. */
async function deadUrl(): Promise<string> {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
  });
  await new Promise((resolve) => server.close(resolve));
  return `https://127.0.0.1:${port}`;
}

describe('keys from a KMS', () => {
  it('are complete, the same after a restart of the KMS, and others for another app or instance', async () => {
    const first = await start('--state', state.path, '--allow-any');
    const measured: Uint8Array[] = [];
    const keys = await ask([first.url], app, {
      onIssued: async ({ osImageHash }) => void measured.push(osImageHash),
    });
    expect(measured.map(toHex)).toEqual(['ab'.repeat(32)]);
    expect(toHex(providerId(keys))).toBe(first.rootCaPubkey);
    expect(keys.keyProvider).toMatchObject({ kind: 'kms', url: `${first.url}/prpc` });
    const message = Buffer.concat([
      Buffer.from('dstack-kms-issued:'),
      fromHex(app.appId),
      compressedPublicKey(keys.k256Key),
    ]);
    expect(toHex(recoverPublicKey(keys.k256Signature, keccak256(message)))).toBe(first.k256Pubkey);
    expect(parseAppKeys(Buffer.from(formatAppKeys(keys)))).toEqual(keys);
    await answered(first, ['GetTempCaCert', 'GetAppKey']);

    const [instance, other] = [guest({}, { instance: 1 }), guest({ name: 'other' })];
    const same = ['diskCryptKey', 'envCryptKey', 'k256Key'] as const;
    const ofInstance = await ask([first.url], instance);
    expect(ofInstance.diskCryptKey).not.toEqual(keys.diskCryptKey);
    expect(ofInstance.k256Key).toEqual(keys.k256Key);
    const ofOther = await ask([first.url], other);
    for (const name of same) expect(ofOther[name]).not.toEqual(keys[name]);

    await first.stop();
    const second = await start('--state', state.path, '--allow-app', app.appId);
    const again = await ask([second.url]);
    for (const name of same) expect(again[name]).toEqual(keys[name]);
    expect(providerId(again)).toEqual(providerId(keys));
  });

  it('come from the next source when the first is down', async () => {
    const kms = await start('--allow-compose', app.composeHash);
    const keys = await ask([await deadUrl(), `${kms.url}/`]);
    expect(keys.keyProvider).toMatchObject({ url: `${kms.url}/prpc` });
  });

  it('may come from a KMS without evidence, and from one whose root is pinned', async () => {
    const kms = await startHere({ attested: false });
    const keys = await ask([kms.url]);
    await ask([kms.url], app, { pinnedRoot: keys.caCert });
    const stranger = await startHere({ attested: false });
    const refused = await rejection(ask([stranger.url], app, { pinnedRoot: keys.caCert }));
    expect(refused.code).toBe('CERT_UNTRUSTED');
    await answered(stranger, []);
  });
});

describe('a KMS that', () => {
  const FIRST = ['GetTempCaCert'];
  type Fault = [what: string, run: () => Promise<RunningKms>, code: string, why: RegExp, answered: string[]];
  const process = (...options: string[]) => start('--allow-any', ...options);
  const here = (faults: Faults) => startHere({ faults });
  const FAULTS: Fault[] = [
    ['dies at once', () => here({ failAfter: 0 }), 'KMS_UNREACHABLE', /GetTempCaCert .* cannot be reached/, []],
    ['dies in the middle', () => process('--fail-after', '1'), 'KMS_UNREACHABLE', /GetAppKey .* cannot be/, FIRST],
    ['is slow', () => process('--delay', '20000'), 'KMS_TIMEOUT', /did not answer within 1\.0 s/, []],
    ['shows the certificate of another root', () => process('--wrong-cert'), 'CERT_UNTRUSTED', /trusted root/, FIRST],
    ['shows one for something else', () => process('--wrong-usage'), 'CERT_USAGE_WRONG', /app:custom/, FIRST],
    [
      'shows a quote that was changed',
      () => process('--bad-quote'),
      'EVIDENCE_INVALID',
      /refused \(dcap\).*signature is invalid/,
      FIRST,
    ],
    ['has another name', () => startHere({ domain: 'kms.example' }), 'CERT_NAME_MISMATCH', /127\.0\.0\.1/, FIRST],
  ];

  it.each(FAULTS)('%s is told apart', async (_, run, code, why, methods) => {
    const kms = await run();
    let measured = false;
    const refused = await rejection(
      ask([kms.url], app, {
        ...(code === 'KMS_TIMEOUT' ? { timeoutMs: 1000 } : {}),
        onIssued: async () => {
          measured = true;
        },
      }),
    );
    expect(refused.code).toBe(code);
    const [outer, ...causes] = errorCauses(refused);
    expect(outer).toBe('failed to get app keys from KMS');
    expect(causes.join('\n')).toMatch(why);
    // nothing was measured, and no request for keys has reached a KMS that is not what it should be
    expect(measured).toBe(false);
    await answered(kms, methods);
  });

  it('is not there is told apart', async () => {
    expect(await rejection(ask([await deadUrl()]))).toMatchObject({ code: 'KMS_UNREACHABLE', retry: true });
  });

  it('refuses the app is told apart, in its own words', async () => {
    const kms = await start('--allow-app', '11'.repeat(20));
    const refused = await rejection(ask([kms.url]));
    expect(refused).toMatchObject({ code: 'KMS_REFUSED', retry: false });
    expect(errorCauses(refused).join('\n')).toContain(`app ${app.appId} is not on the list`);
  });

  it('is the first of several decides what is told', async () => {
    const refusing = await startHere(onlyApp('11'.repeat(20)));
    const impostor = await startHere({ faults: { wrongCert: true } });
    expect((await rejection(ask([refusing.url, impostor.url]))).code).toBe('KMS_REFUSED');
    const both = await rejection(ask([impostor.url, refusing.url]));
    expect(both.code).toBe('CERT_UNTRUSTED');
    expect(both.message).toMatch(/^failed to get app keys from any of 2 KMS: /);
    // the words and the code of each
    expect(both.message).toContain(`${impostor.url}: `);
    expect(both.message).toMatch(/\[CERT_UNTRUSTED\]; .*is not on the list.* \[KMS_REFUSED\]$/);
  });
});

describe('a KMS that looks at evidence only', () => {
  it('gives keys to a self-signed certificate, and signs certificates for it', async () => {
    const kms = await startHere({ temporaryCa: false });
    const keys = await ask([kms.url]);
    await answered(kms, ['GetTempCaCert', 'GetMeta', 'GetAppKey']);
    expect(keys.keyProvider).toMatchObject({ kind: 'kms', tmpCaCert: '', tmpCaKey: '' });
    expect(parseAppKeys(Buffer.from(formatAppKeys(keys)))).toEqual(keys);
    const chain = await certifyKey(keys, freshTlsKey(), { commonName: 'a' }, app.attest);
    expect(chain).toHaveLength(3);
    await answered(kms, ['GetTempCaCert', 'GetMeta', 'GetAppKey', 'SignCert']);
  });

  it('is no way around the root that a person has pinned', async () => {
    const kms = await startHere({ temporaryCa: false });
    const other = await startHere({ temporaryCa: false });
    const { caCert } = await ask([other.url]);
    expect((await rejection(ask([kms.url], app, { pinnedRoot: caCert }))).code).toBe('CERT_UNTRUSTED');
  });

  it('is not what a KMS is that only refuses the temporary CA', async () => {
    const refused = await rejection(ask([(await startHere({ faults: { failAfter: 0 } })).url]));
    expect(refused.code).toBe('KMS_UNREACHABLE');
  });
});

describe('a KMS that is not there yet', () => {
  it('is asked again with growing pauses, for so long', async () => {
    const url = await deadUrl();
    const pauses: number[] = [];
    const pause = async (ms: number) => void pauses.push(ms);
    const refused = await rejection(
      ask([url], app, { retryForMs: 1500, pause: (ms) => pause(ms).then(() => wait(600)) }),
    );
    expect(refused.code).toBe('KMS_UNREACHABLE');
    expect(pauses[0]).toBe(1000);
    expect(pauses.length).toBeLessThan(4);
  });

  it('gives its keys when it comes', async () => {
    const { port } = new URL(await deadUrl());
    const pauses: number[] = [];
    let late: RunningKms | undefined;
    const keys = await ask([`https://127.0.0.1:${port}`], app, {
      retryForMs: 600_000,
      pause: async (ms) => {
        pauses.push(ms);
        if (pauses.length === 5) late = await startHere({}, Number(port));
      },
    });
    expect(keys.diskCryptKey).toHaveLength(32);
    expect(pauses).toEqual([1000, 2000, 4000, 8000, 8000]);
    await answered(late as RunningKms, ['GetTempCaCert', 'GetAppKey']);
  });

  it('is not waited for when another one has said no', async () => {
    const refusing = await startHere(onlyApp('11'.repeat(20)));
    let paused = false;
    const pause = async () => {
      paused = true;
    };
    const refused = await rejection(ask([await deadUrl(), refusing.url], app, { retryForMs: 60_000, pause }));
    expect([refused.code, paused]).toEqual(['KMS_UNREACHABLE', false]);
  });
});

describe('the request', () => {
  it('fails as what it is when this guest cannot measure what the KMS told, and measures nothing twice', async () => {
    const [one, two] = [await startHere(), await startHere()];
    let measured = 0;
    const onIssued = async () => {
      measured++;
      throw new DstackError('RTMR_EXTEND_FAILED', 'the register does not take it');
    };
    const refused = await rejection(ask([one.url, two.url], app, { onIssued, retryForMs: 60_000 }));
    expect([refused.code, measured]).toEqual(['RTMR_EXTEND_FAILED', 1]);
    await answered(two, []);
  });

  it('fails as what it is when this guest cannot make its own evidence, and asks nobody else', async () => {
    const [one, two] = [await startHere(), await startHere()];
    const broken = {
      ...app,
      attest: () => app.attest(new Uint8Array(1)).then(() => Promise.reject(new Error('no quote'))),
    };
    await expect(ask([one.url, two.url], broken)).rejects.toThrow('no quote');
    await answered(two, []);
  });

  it('wants addresses, with https', async () => {
    expect((await rejection(ask([]))).code).toBe('KMS_URLS_MISSING');
    expect(failure(() => kmsBase('http://kms.example'))).toMatchObject({
      code: 'CONFIG_INVALID',
      value: 'http://kms.example',
    });
    expect(kmsBase('https://kms.example:1234//')).toBe('https://kms.example:1234/prpc');
    expect(kmsBase('https://kms.example/prpc')).toBe('https://kms.example/prpc');
  });
});
