import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { mockPki } from '../../simulator/pki.ts';
import { certReportData } from '../../src/keys/report-data.ts';
import { freshTlsKey } from '../../src/keys/tls-key.ts';
import { BootClock, bootClock } from '../../src/net/boot-clock.ts';
import { verifyPeerEvidence } from '../../src/net/peer-evidence.ts';
import { checkPeer } from '../../src/net/ra-tls-client.ts';
import { BUILD_TIME } from '../../src/version.ts';
import { fromPem, issueCertificate } from '../../src/x509/x509.ts';
import { rejection } from '../failure.ts';
import { evidenceRulesFor } from './evidence-rules.ts';
import { mockEvidence } from './ra-tls-server.ts';

const DAY = 86_400_000;
const IMAGE = Date.UTC(2026, 10, 1);

let dir: string;
let now: number;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'clock-'));
  now = IMAGE + 30 * DAY;
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** A process of this boot. */
const clock = (folder = dir) =>
  new BootClock({
    file: join(folder, 'clock-floor.json'),
    image: async () => ({ at: IMAGE, from: 'this build' }),
    system: () => now,
  });

describe('the clock of a boot', () => {
  it('is not believed before the date of the image', async () => {
    now = IMAGE;
    expect(await clock().now()).toBe(IMAGE);
    now = IMAGE - 1;
    expect(await rejection(clock().now())).toMatchObject({
      code: 'CLOCK_BEHIND',
      message: 'the clock says 2026-10-31T23:59:59.999Z, but this build is of 2026-11-01T00:00:00.000Z',
    });
  });

  it('may be set forward at any time, as chrony does', async () => {
    const one = clock();
    await one.now();
    now += 3650 * DAY;
    expect(await one.now()).toBe(now);
  });

  it('does not go back behind a signed date, in this process and the next', async () => {
    const one = clock();
    await one.saw(now - DAY, 'the TCB info');
    now -= DAY + 1;
    for (const process of [one, clock()]) {
      expect(await rejection(process.now())).toMatchObject({
        code: 'CLOCK_BEHIND',
        message: expect.stringMatching(/the TCB info is of/),
      });
    }
    now += 1; // back, but not behind it
    expect(await clock().now()).toBe(now);
    expect(((await stat(join(dir, 'clock-floor.json'))).mode & 0o777).toString(8)).toBe('600');
  });

  it('takes the floor of the process that saw most, and an older date changes nothing', async () => {
    const [one, two] = [clock(), clock()];
    await one.now();
    await two.saw(now - DAY, 'two');
    await one.saw(now - 2 * DAY, 'one');
    expect(await one.floor()).toEqual({ at: now - DAY, from: 'two' });
    await one.saw(Number.NaN, 'no date');
    expect(await clock().floor()).toEqual({ at: now - DAY, from: 'two' });
  });

  it('keeps nothing on a machine that has no folder for it', async () => {
    const one = clock(join(dir, 'none'));
    await one.saw(now, 'one');
    expect(await one.floor()).toEqual({ at: now, from: 'one' });
    expect(await clock(join(dir, 'none')).floor()).toEqual({ at: IMAGE, from: 'this build' });
  });

  it.each(['', '{', '[]', '{"at":"x","from":""}', '{"at":-1,"from":""}', '{"at":1}'])(
    'is not believed with the damaged record %j',
    async (text) => {
      await writeFile(join(dir, 'clock-floor.json'), text);
      expect(['JSON_INVALID', 'DOCUMENT_INVALID']).toContain((await rejection(clock().now())).code);
    },
  );

  it('of this machine is not behind the build', async () => {
    expect((await bootClock.floor()).at).toBeGreaterThanOrEqual(BUILD_TIME * 1000);
    expect(await bootClock.now()).toBeGreaterThan(BUILD_TIME * 1000);
  });
});

describe('peers and the clock', () => {
  const PKI = mockPki(new Uint8Array(32).fill(0x31));
  const evidenceRules = evidenceRulesFor(PKI);
  const { spkiDer } = freshTlsKey();
  const evidence = mockEvidence(PKI, certReportData(spkiDer));
  // the collateral service makes its collateral for the time that this process has
  const at = (time: number) => {
    now = time;
    vi.setSystemTime(time);
  };
  beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'], now }));
  afterEach(() => void vi.useRealTimers());
  const judge = (one: BootClock) => verifyPeerEvidence(evidence, spkiDer, { ...evidenceRules(), clock: one });

  it('old collateral on an old clock is refused once newer one was seen', async () => {
    await judge(clock());
    at(now - 10 * DAY); // a host with a recording of ten days ago, which verifies at its own time
    expect(await rejection(judge(clock()))).toMatchObject({
      code: 'CLOCK_BEHIND',
      message: expect.stringMatching(/is of 2026-11-30/),
    });
    await verifyPeerEvidence(evidence, spkiDer, { ...evidenceRules(), now });
  });

  it('collateral from the future shows that it is the clock that is wrong', async () => {
    const real = now;
    now -= 10 * DAY; // of the guest only
    expect((await rejection(judge(clock()))).code).toBe('COLLATERAL_INVALID');
    vi.setSystemTime(now); // now the host has old collateral to go with it
    expect((await rejection(judge(clock()))).code).toBe('CLOCK_BEHIND');
    at(real);
    await judge(clock());
  });

  it('a certificate in time raises the floor, one from the future does not', async () => {
    const key = freshTlsKey();
    const root = await issueCertificate({ commonName: 'Root', ca: { pathLength: 1 }, notBefore: IMAGE / 1000 }, key);
    const leaf = async (notBefore: number) => {
      const subject = { commonName: 'kms', altNames: ['kms.example'], notBefore: notBefore / 1000, serverAuth: true };
      const pem = await issueCertificate(subject, freshTlsKey(), { certificate: root, key });
      return [fromPem(pem, 'CERTIFICATE')];
    };
    const check = async (notBefore: number) =>
      checkPeer(await leaf(notBefore), 'kms.example', { root, evidence: 'ignore', clock: clock() });
    expect((await rejection(check(now + DAY))).code).toBe('CERT_NOT_YET_VALID');
    await check(now - 5 * DAY);
    await check(now - DAY);
    now -= 2 * DAY;
    expect(await rejection(check(now - 5 * DAY))).toMatchObject({
      code: 'CLOCK_BEHIND',
      message: expect.stringMatching(/the certificate of a peer is of/),
    });
  });
});
