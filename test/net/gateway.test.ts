import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DstackError } from '../../src/errors.ts';
import { checkGatewaySettings, type NetMachine, refreshGateway } from '../../src/net/gateway.ts';
import { isDue, parseGatewayCache } from '../../src/net/gateway-cache.ts';
import { runChecker } from '../../src/net/gateway-checker.ts';
import { CERT_LIFETIME_S } from '../../src/net/gateway-identity.ts';
import type { Occupied } from '../../src/net/occupied.ts';

const PK = `${'B'.repeat(42)}A=`;
const COMPOSE = { manifest_version: 2, name: 'a', runner: 'bash', gateway_enabled: true };
const KEYS = {
  disk_crypt_key: 'ab'.repeat(32),
  k256_key: 'ab'.repeat(32),
  k256_signature: '',
  ca_cert: 'the CA',
  gateway_app_id: 'any',
  key_provider: { None: { key: '' } },
};

let dir: string;
let now: number;
let commands: string[];
let certified: number;
let failing: string | undefined;
let server: { pk: string; ip: string; endpoint: string };
let offline: boolean;
let occupied: Occupied[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gateway-'));
  now = 1_800_000_000;
  commands = [];
  certified = 0;
  failing = undefined;
  offline = false;
  occupied = [];
  server = { pk: PK, ip: '10.4.0.1', endpoint: '192.0.2.1:9182' };
  await mkdir(join(dir, '.host-shared'));
  await document('app-compose.json', COMPOSE);
  await document('.appkeys.json', KEYS);
  await document('.sys-config.json', { vm_config: '{}', gateway_urls: ['https://gw'] });
});
afterEach(() => rm(dir, { recursive: true }));

const document = (name: string, content: object) => writeFile(join(dir, '.host-shared', name), JSON.stringify(content));
const cache = async () => parseGatewayCache(await readFile(join(dir, 'run/cache.json')));
const config = () => readFile(join(dir, 'wireguard/dstack-wg0.conf'), 'utf8');
const refresh = (force = false) => refreshGateway({ workDir: dir, force }, machine());

function machine(): NetMachine {
  return {
    run: async (program, args, options = {}) => {
      const shown = [program, ...args].join(' ');
      commands.push(program);
      if (failing !== undefined && shown.startsWith(failing)) {
        throw new DstackError(options.code ?? 'COMMAND_FAILED', `${shown} failed`);
      }
      return { exit: program.endsWith('tables') ? 1 : 0, stdout: '', stderr: '' };
    },
    installed: async () => true,
    resolve: async () => {
      throw new DstackError('GATEWAY_UNREACHABLE', 'does not resolve');
    },
    certify: () => async (_, notAfter) => {
      certified += 1;
      return { plain: [`leaf ${notAfter}`, 'ca'], withQuote: [`quoted ${notAfter}`, 'ca'] };
    },
    call: () => async () => {
      if (offline) throw new DstackError('GATEWAY_UNREACHABLE', 'connection refused');
      return { wg: { client_ip: '10.4.0.7', servers: [server] } };
    },
    occupied: async () => occupied,
    cacheFile: join(dir, 'run/cache.json'),
    wireGuardFile: join(dir, 'wireguard/dstack-wg0.conf'),
    recordFile: join(dir, 'log/gateway.json'),
    now: () => now,
  };
}

const FIREWALL = ['iptables', 'iptablesRestore', 'ip6tables', 'ip6tablesRestore'];
const TUNNEL = ['wgQuick', 'wgQuick'];

describe('a refresh of the gateway registration', () => {
  it('sets the rules before the tunnel comes up, and keeps key and configuration for root alone', async () => {
    expect(await refresh()).toBe('joined');
    expect(commands).toEqual([...FIREWALL, ...TUNNEL]);
    const mode = async (path: string) => ((await stat(join(dir, path))).mode & 0o777).toString(8);
    expect(await mode('run/cache.json')).toBe('600');
    expect(await mode('wireguard/dstack-wg0.conf')).toBe('600');
    expect(await config()).toContain(`PrivateKey = ${(await cache()).wgSk}\n`);
  });

  it('leaves an unchanged tunnel alone unless it is forced', async () => {
    await refresh();
    commands = [];
    expect(await refresh()).toBe('unchanged');
    expect(commands).toEqual([]);
    expect(await refresh(true)).toBe('joined');
    expect(commands).toEqual([...FIREWALL, ...TUNNEL]);
  });

  it('leaves no configuration of a tunnel that did not come up, so that the next refresh makes it', async () => {
    await refresh();
    server = { ...server, endpoint: '192.0.2.2:9182' };
    failing = 'wgQuick up';
    await expect(refresh()).rejects.toMatchObject({ code: 'COMMAND_FAILED' });
    await expect(config()).rejects.toMatchObject({ code: 'ENOENT' });
    failing = undefined;
    expect(await refresh()).toBe('joined');
    expect(await config()).toContain('Endpoint = 192.0.2.2:9182');
  });

  it('takes over what the gateway changed', async () => {
    await refresh();
    server = { ...server, endpoint: '192.0.2.2:9182' };
    expect(await refresh()).toBe('joined');
    expect(await config()).toContain('Endpoint = 192.0.2.2:9182');
  });

  it('renews its certificates once in their last day, and keeps its WireGuard key for good', async () => {
    await refresh();
    const first = await cache();
    expect(first.clientCert).toBe(`leaf ${now + CERT_LIFETIME_S}\nca`);
    now += CERT_LIFETIME_S - 86_400 - 601;
    await refresh();
    expect(certified).toBe(1);
    now += 86_401;
    await refresh();
    expect(certified).toBe(2);
    const second = await cache();
    expect(second.clientKey).not.toBe(first.clientKey);
    expect(second.wgPk).toBe(first.wgPk);
  });

  it('goes on with its old certificates as long as they hold when it gets no new ones', async () => {
    await refresh();
    const { certNotAfter, wgPk } = await cache();
    // the moment this guest renews at: found by looking, as it depends on its key
    while (!isDue({ certNotAfter, wgPk }, now)) now += 60;
    expect(certNotAfter - now).toBeGreaterThan(540);
    const down = async () => {
      throw new DstackError('KMS_UNREACHABLE', 'no KMS answers');
    };
    const withoutKms = { ...machine(), certify: () => down };
    if (now + 600 < certNotAfter) {
      expect(await refreshGateway({ workDir: dir, force: true }, withoutKms)).toBe('joined');
    }
    now = certNotAfter - 600;
    await expect(refreshGateway({ workDir: dir, force: true }, withoutKms)).rejects.toMatchObject({
      code: 'KMS_UNREACHABLE',
    });
  });

  it('spreads the renewal of a fleet over the whole day', () => {
    const due = (wgPk: string) => {
      for (let left = 87_600; ; left -= 600) if (isDue({ certNotAfter: 100_000, wgPk }, 100_000 - left)) return left;
    };
    const hours = Array.from({ length: 500 }, (_, i) => Math.floor(due(`guest ${i}`) / 3600));
    for (let hour = 1; hour < 24; hour++) expect(hours.filter((one) => one === hour).length).toBeGreaterThan(3);
  });

  it('notes how each attempt ended, and what it learned on the way', async () => {
    const noted = async () => JSON.parse(await readFile(join(dir, 'log/gateway.json'), 'utf8'));
    await refresh();
    const certNotAfter = now + CERT_LIFETIME_S;
    const first = now;
    expect(await noted()).toEqual({
      attempted_at: first,
      registered_at: first,
      failures: 0,
      outcome: 'ok',
      cert_not_after: certNotAfter,
    });
    offline = true;
    for (const failures of [1, 2]) {
      now += 200;
      await expect(refresh()).rejects.toMatchObject({ code: 'GATEWAY_UNREACHABLE' });
      expect(await noted()).toEqual({
        attempted_at: now,
        registered_at: first,
        failures,
        outcome: 'GATEWAY_UNREACHABLE',
        cert_not_after: certNotAfter,
      });
    }
    offline = false;
    // a call to the KMS is noted even where the registration fails because of it
    const failing: NetMachine = {
      ...machine(),
      certify: (_, tell) => async () => {
        const thrown = new DstackError('KMS_TIMEOUT', 'too late');
        tell(thrown);
        throw thrown;
      },
    };
    now = certNotAfter;
    await expect(refreshGateway({ workDir: dir, force: false }, failing)).rejects.toMatchObject({
      code: 'KMS_TIMEOUT',
    });
    expect(await noted()).toMatchObject({
      failures: 3,
      outcome: 'KMS_TIMEOUT',
      kms: { at: now, outcome: 'KMS_TIMEOUT' },
    });
    await writeFile(join(dir, 'log/gateway.json'), '{"attempted_at":');
    await refresh();
    expect(await noted()).toMatchObject({ attempted_at: now, failures: 0, outcome: 'ok' });
  });

  it('makes a new identity when the cache is damaged', async () => {
    await refresh();
    await writeFile(join(dir, 'run/cache.json'), '{"client_cert":');
    await refresh();
    expect(certified).toBe(2);
    expect((await cache()).wgPk).toMatch(/=$/);
  });

  it('stores its identity before it asks: the gateway must know the guest again', async () => {
    offline = true;
    await expect(refresh()).rejects.toMatchObject({ code: 'GATEWAY_UNREACHABLE' });
    const { wgPk } = await cache();
    offline = false;
    await refresh();
    expect((await cache()).wgPk).toBe(wgPk);
  });

  it('leaves the tunnel as it was when a gateway wants an address that the machine uses by now', async () => {
    await refresh();
    const before = await config();
    commands = [];
    occupied = [{ address: '10.4.0.0', prefix: 16, by: 'the network of br-app' }];
    await expect(refresh(true)).rejects.toMatchObject({
      code: 'GATEWAY_UNREACHABLE',
      cause: { field: 'wg.client_ip' },
    });
    expect(commands).toEqual([]);
    expect(await config()).toBe(before);
  });

  it('does not touch the tunnel when the name of a gateway does not resolve', async () => {
    await refresh();
    const before = await config();
    commands = [];
    server = { ...server, endpoint: 'nowhere.example:9182' };
    await expect(refresh(true)).rejects.toMatchObject({ code: 'GATEWAY_UNREACHABLE' });
    expect(commands).toEqual([]);
    expect(await config()).toBe(before);
  });

  it('brings up no tunnel without its rules', async () => {
    failing = 'iptablesRestore';
    await expect(refresh(true)).rejects.toMatchObject({ code: 'FIREWALL_FAILED' });
    expect(commands).not.toContain('wgQuick');
  });

  it('does nothing for an app without a gateway', async () => {
    await document('app-compose.json', { ...COMPOSE, gateway_enabled: false });
    expect(await refresh(true)).toBe('not wanted');
    expect(certified).toBe(0);
  });

  it('says what is missing; the identity is made before the addresses are looked at', async () => {
    await document('.sys-config.json', { vm_config: '{}' });
    await expect(refresh()).rejects.toMatchObject({ code: 'GATEWAY_MISCONFIGURED', field: 'gateway_urls' });
    expect(certified).toBe(1);
    await document('.appkeys.json', { ...KEYS, gateway_app_id: '' });
    await expect(refresh()).rejects.toMatchObject({ code: 'GATEWAY_MISCONFIGURED', field: 'gateway_app_id' });
    await expect(checkGatewaySettings(dir)).rejects.toMatchObject({ code: 'GATEWAY_MISCONFIGURED', exit: 3 });
  });
});

describe('the gateway checker', () => {
  /** Runs for so many virtual seconds; each refresh takes 5 of them. */
  async function check(seconds: number, refreshes: (force: boolean, at: number) => unknown) {
    let clock = 0;
    const stop = new AbortController();
    const told: string[] = [];
    await runChecker({
      workDir: dir,
      machine: machine(),
      notify: async (state) => told.push(state),
      clock: () => clock,
      sleep: async (wait) => {
        clock += wait;
        now += wait;
        if (clock > seconds) stop.abort();
      },
      random: () => 0,
      signal: stop.signal,
      refresh: async (force) => {
        clock += 5;
        return refreshes(force, clock - 5);
      },
    });
    return told;
  }

  it('tries by force until there is a configuration, and feeds the watchdog all the time', async () => {
    const at: number[] = [];
    const told = await check(300, (force, time) => {
      expect(force).toBe(true);
      at.push(time);
      throw new DstackError('GATEWAY_UNREACHABLE', 'down');
    });
    // 30, 60, 120 seconds from the end of one try to the next look
    expect(at).toEqual([0, 35, 100, 225]);
    expect(told.every((state) => state === 'WATCHDOG=1')).toBe(true);
    expect(told.length).toBeGreaterThan(25);
  });

  it('finds a tunnel that is silent', async () => {
    await refresh();
    const forced: boolean[] = [];
    await check(200, (force) => forced.push(force));
    expect(forced).toEqual([true]);
  });
});
