/**
 * A real chronyd as the guest's and others as time servers, in a network namespace, with certificates made here. All of
 * them run with -x: none touches the clock of this machine.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { BootMachine } from '../../src/boot/boot-machine.ts';
import { nameTimeServers, selectedSource, waitForSecureTime } from '../../src/boot/prepare/clock.ts';
import { freshTlsKey, privateKeyPem } from '../../src/keys/tls-key.ts';
import * as ui from '../../src/ui.ts';
import { issueCertificate } from '../../src/x509/x509.ts';
import { NetworkNamespace, netnsMissing } from '../net/netns.ts';

const CONF = 'initramfs/overlay/common/etc/chrony/chrony.conf';

function chronyMissing(): string | undefined {
  const missing = netnsMissing('chronyd', 'chronyc');
  if (missing !== undefined) return missing;
  const features = execFileSync('chronyd', ['--version'], { encoding: 'utf8' });
  return features.includes('+NTS') ? undefined : 'this chronyd was built without NTS';
}
const missing = chronyMissing();

let dir: string;
let ns: NetworkNamespace;
let said: string[];
const started: number[] = [];
/** The guest's view of the machine: programs run in the namespace, files go below the folder of the test. */
const guest = (): BootMachine => ({
  root: dir,
  run: (program, args, options) => ns.run(program, args, options),
  mountAt: async () => undefined,
  bindMount: () => Promise.reject(new Error('nothing is mounted here')),
});

async function start(name: string, lines: readonly string[]): Promise<void> {
  const pid = join(dir, `${name}.pid`);
  await writeFile(join(dir, `${name}.conf`), [...lines, 'user root', `pidfile ${pid}`, ''].join('\n'));
  ns.sh(`chronyd -x -f ${dir}/${name}.conf`); // it goes into the background once it is up
  started.push(Number(await readFile(pid, 'utf8')));
}

/** A server that is always sure of its time; with NTS it has a certificate of this authority for its name. */
async function server(
  name: string,
  address: string,
  authority?: { certificate: string; key: ReturnType<typeof freshTlsKey> },
) {
  const lines = ['local stratum 1', 'allow', `bindaddress ${address}`, 'bindcmdaddress /', 'cmdport 0'];
  if (authority !== undefined) {
    const key = freshTlsKey();
    const request = { commonName: name, altNames: [name], serverAuth: true };
    await writeFile(join(dir, `${name}.pem`), await issueCertificate(request, key, authority));
    await writeFile(join(dir, `${name}.key`), privateKeyPem(key), { mode: 0o600 });
    lines.push(`ntsservercert ${dir}/${name}.pem`, `ntsserverkey ${dir}/${name}.key`, 'ntsprocesses 1');
  }
  await start(name, lines);
}

async function authority() {
  const key = freshTlsKey();
  return { key, certificate: await issueCertificate({ commonName: 'Time CA', ca: { pathLength: 0 } }, key) };
}

/** The guest's chronyd with the image's own configuration, its paths moved below the folder. */
async function client(trusted: string, change: (conf: string) => string = (conf) => conf): Promise<void> {
  await writeFile(join(dir, 'ca.pem'), trusted);
  const conf = change(await readFile(CONF, 'utf8')).replaceAll(/ (\/run\/dstack|\/var\/lib\/chrony)/g, ` ${dir}$1`);
  // no system store of certificates here, and NTP's own port belongs to the servers
  await start('client', [conf.replace(/^rtcsync\n/m, ''), `ntstrustedcerts ${dir}/ca.pem`, 'port 0']);
}

describe(`secure time with real servers (${missing ?? 'checked here'})`, () => {
  beforeEach(async () => {
    if (missing !== undefined) return;
    said = [];
    for (const level of ['info', 'warn'] as const)
      vi.spyOn(ui, level).mockImplementation((text) => void said.push(String(text)));
    dir = await mkdtemp(join(tmpdir(), 'nts-'));
    ns = await NetworkNamespace.open();
    await writeFile(join(dir, 'hosts'), '127.0.0.2 nts.example\n127.0.0.3 plain.example\n127.0.0.4 false.example\n');
    // chronyd wants this folder for itself alone; /run is the namespace's own
    ns.sh(`mount --bind ${dir}/hosts /etc/hosts && mkdir -m 700 /run/chrony`);
  });
  afterEach(async () => {
    if (missing !== undefined) return;
    vi.restoreAllMocks();
    for (const pid of started.splice(0)) process.kill(pid);
    ns.close();
    await rm(dir, { recursive: true });
  });

  it.skipIf(missing !== undefined)(
    'comes from the authenticated server of the command line',
    { timeout: 90_000 },
    async () => {
      const ca = await authority();
      await server('nts.example', '127.0.0.2', ca);
      await client(ca.certificate);
      await nameTimeServers(guest(), [{ name: 'nts.example', port: 4460 }]);
      await waitForSecureTime(guest(), { authenticated: true, tries: 60, intervalMs: 500 });
      expect(said.at(-1)).toBe('secure time: from nts.example, authenticated (NTS)');
    },
  );

  it.skipIf(missing !== undefined)(
    'never comes from a server with a certificate of somebody else',
    { timeout: 90_000 },
    async () => {
      await server('false.example', '127.0.0.4', await authority());
      await client((await authority()).certificate);
      await nameTimeServers(guest(), [{ name: 'false.example', port: 4460 }]);
      await expect(
        waitForSecureTime(guest(), { authenticated: true, tries: 12, intervalMs: 500 }),
      ).rejects.toMatchObject({
        code: 'TIME_UNSYNCED',
        cause: 'waiting for a time source: none has answered chronyd yet',
      });
    },
  );

  it.skipIf(missing !== undefined)(
    'is not taken from a plain server in an image that does not read the named ones',
    { timeout: 90_000 },
    async () => {
      await server('plain.example', '127.0.0.3');
      await client(
        (await authority()).certificate,
        (conf) => `${conf.replace(/^(authselectmode|sourcedir) .*\n/gm, '')}server plain.example iburst\n`,
      );
      await nameTimeServers(guest(), [{ name: 'nts.example', port: 4460 }]);
      await expect(
        waitForSecureTime(guest(), { authenticated: true, tries: 30, intervalMs: 500 }),
      ).rejects.toMatchObject({ cause: 'waiting for a server of dstack.nts: plain.example is not authenticated' });
      // without servers on the command line the image's settings decide, and the log says what that is worth
      await waitForSecureTime(guest(), { tries: 1 });
      expect(said.at(-1)).toContain('plain.example is not authenticated: whoever carries its packets');
    },
  );
});

describe('what chronyc tells of its sources', () => {
  const row = (state: string, name: string) => `^,${state},${name},1,6,7,1,0.1,0.1,0.1\n`;
  it.each([
    ['', '', undefined],
    [row('?', 'a'), 'a,NTS,1,15,256,4,0,0,8,100\n', undefined],
    [row('?', 'a') + row('*', 'b'), 'a,NTS,1\nb,NTS,1\n', { name: 'b', authenticated: true }],
    [row('*', 'b'), 'a,NTS,1\n', { name: 'b', authenticated: false }],
    [row('*', 'b'), 'b,-,0\n', { name: 'b', authenticated: false }],
    [row('*', 'b'), 'b,SK,3\n', { name: 'b', authenticated: false }],
    [row('*', 'b'), 'b,NTS,1\nb,-,0\n', { name: 'b', authenticated: false }],
  ])('%j with %j', (sources, authdata, expected) => {
    expect(selectedSource(sources, authdata)).toEqual(expected);
  });
});
