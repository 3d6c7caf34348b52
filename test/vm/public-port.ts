/** What a booted guest shows of itself, held beside what its own tools say. Shared by tests that have booted one anyway. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { expect } from 'vitest';
import { agentCall } from '../../initramfs/vm/checks.ts';
import type { Machine } from '../../initramfs/vm/machine.ts';
import { CHROMIUM, LOOKS, launch, open, screenshot } from '../agent/page/browser.ts';

const CONTAINER = 'dstack-demo-1';
const PROMTOOL = '/usr/bin/promtool';
const SOON = { timeout: 120_000, interval: 2000 };

interface Report {
  ready: boolean;
  boot: { state: string; phases: { sequence: string; phase: string; outcome: string }[] };
  composeError: unknown;
  containers: { total: number; running: number; list: { name: string; state: string; restarts: number }[] };
}

/** Page, readiness and metrics of the demo app, and its log. */
export async function checkPublicPort(vm: Machine, appId: string): Promise<void> {
  const parts = [
    appId,
    new RegExp(`<strong>${CONTAINER}</strong>`),
    /CPU [\d.]+ %<\/span><span>memory [\d.]+ [KM]iB/,
    'They replay to RTMR3.',
    /<textarea id="quote" [^>]*>[0-9a-f]{2000,}</,
    ...['app-id', 'compose-hash', 'instance-id', 'key-provider', 'storage-fs', 'system-ready'].map(
      (event) => new RegExp(`<a href="#event-\\d+">${event}</a> <code>[0-9a-f]{12}…`),
    ),
    `${vm.url('')}/prpc/Worker.GetAttestationForAppKey`,
  ];
  const missing = async () => {
    const { text: page } = await vm.get('/');
    return parts.filter((part) => (typeof part === 'string' ? !page.includes(part) : !part.test(page)));
  };
  // docker and the quoting device are slow in an emulated machine: what came too late is there at the next look
  await expect.poll(missing, SOON).toEqual([]);
  const page = await vm.get('/');
  expect([page.status, page.headers.get('content-type')]).toEqual([200, expect.stringContaining('text/html')]);

  await expect.poll(async () => (await vm.get('/readyz')).json<Report>().boot.state, SOON).toBe('done');
  await expect.poll(async () => (await vm.get('/readyz')).json<Report>().containers.list[0]?.restarts, SOON).toBe(0);
  const report = (await vm.get('/readyz')).json<Report>();
  expect(report).toMatchObject({
    ready: true,
    composeError: null,
    containers: { total: 1, running: 1, list: [{ name: CONTAINER, state: 'running' }] },
  });
  expect(new Set(report.boot.phases.map(({ sequence }) => sequence))).toEqual(
    new Set(['prepare', 'setup', 'handover', 'deploy']),
  );

  await expect.poll(async () => (await vm.get('/metrics')).text, SOON).toContain('dstack_container_memory_bytes{');
  const { text } = await vm.get('/metrics');
  const value = (name: string) =>
    Number(
      text
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.split(' ')
        .at(-1),
    );
  expect(value(`dstack_container_cpu_seconds_total{name="${CONTAINER}"}`)).toBeGreaterThan(0);
  const memory = value(`dstack_container_memory_bytes{name="${CONTAINER}"}`);
  expect(memory).toBeGreaterThan(100 * 1024);
  expect(memory).toBeLessThan(1024 ** 3);
  expect(value('dstack_memory_size_bytes')).toBe(
    1024 * Number(await vm.ok("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")),
  );
  expect(
    value('dstack_rpc_duration_seconds_count{service="DstackGuest",method="GetQuote",outcome="ok"}'),
  ).toBeGreaterThan(0);
  expect(text).toContain('system_memory_total ');
  if (existsSync(PROMTOOL)) {
    const ours = text.slice(0, text.indexOf('# HELP system_os_name'));
    const check = spawnSync(PROMTOOL, ['check', 'metrics'], { input: ours, encoding: 'utf8' });
    expect([check.status, check.stderr]).toEqual([0, '']);
  }

  const log = await vm.get(`/logs/${CONTAINER}?text=true&tail=5`);
  expect([log.status, log.headers.get('content-type')]).toEqual([200, 'text/plain; charset=utf-8']);
  expect((await vm.get('/logs/none?text')).text).toBe('{"error":"No such container: none"}');
  expect((await vm.get('/nothing-here')).status).toBe(404);
}

/** The page of the guest in a browser; the pictures stay for people to look at. Nothing happens without chromium. */
export async function lookAtPage(vm: Machine): Promise<void> {
  if (CHROMIUM === undefined) return;
  const browser = await launch();
  try {
    for (const look of LOOKS.filter(({ theme, width }) => (theme === 'light') === (width === 1200))) {
      const { page, complaints } = await open(browser, vm.url('/'), look);
      await screenshot(page, `guest-${look.width}-${look.theme}`);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(look.width);
      expect(complaints).toEqual([]);
      await page.context().close();
    }
  } finally {
    await browser.close();
  }
}

/** Asks what the host may ask, over the guest's own vsock. @returns undefined where the kernel has no loopback for it */
export async function askAsHost<T>(vm: Machine, method: string): Promise<T | undefined> {
  const request = `GET /api/${method} HTTP/1.1\\r\\nHost: guest\\r\\nConnection: close\\r\\n\\r\\n`;
  const answer = await vm.sh(`printf '${request}' | socat -t 20 - VSOCK-CONNECT:1:8000`);
  if (answer.exit !== 0 && /No such device|Connection reset|Cannot assign/.test(answer.stderr)) return undefined;
  expect(answer.exit, answer.stderr).toBe(0);
  return JSON.parse(answer.stdout.slice(answer.stdout.indexOf('\r\n\r\n') + 4)) as T;
}

interface SysInfo {
  kernel_version: string;
  num_cpus: number;
  os_name: string;
  disks: { name: string; mount_point: string; total_size: number }[];
}
interface NetworkInfo {
  dns_servers: string[];
  gateways: { address: string }[];
  interfaces: { name: string; addresses: { address: string; prefix: number }[] }[];
}
interface Containers {
  containers: { id: string; names: string[]; image: string; state: string; created: number }[];
}

/** GuestApi over vsock, each figure beside the tool that also knows it. @returns false when there is no vsock to ask over */
export async function checkGuestApi(vm: Machine): Promise<boolean> {
  const system = await askAsHost<SysInfo>(vm, 'SysInfo');
  if (system === undefined) return false;
  expect(system.kernel_version).toBe(await vm.ok('uname -r'));
  expect(system.num_cpus).toBe(Number(await vm.ok('nproc')));
  expect(system.os_name).toBe(await vm.ok('. /etc/os-release; echo "$NAME"'));
  const mounted = (
    await vm.ok('df -B1 --output=target,source,size / /var/volatile/dstack/persistent | tail -n +2')
  ).split('\n');
  expect(system.disks.map(({ mount_point, name, total_size }) => [mount_point, name, String(total_size)])).toEqual(
    mounted.map((line) => line.trim().split(/\s+/)),
  );
  const network = await askAsHost<NetworkInfo>(vm, 'NetworkInfo');
  const found = async (command: string, pattern: RegExp) =>
    [...(await vm.ok(command)).matchAll(pattern)].map(([, text]) => text).toSorted();
  const addresses = network?.interfaces.flatMap(({ addresses: all }) =>
    all.map(({ address, prefix }) => `${address}/${prefix}`),
  );
  expect(addresses?.toSorted()).toEqual(await found('ip -o addr show dev eth0', /inet6? (\S+)/g));
  expect(network?.gateways.map(({ address }) => address).toSorted()).toEqual(
    await found('ip -4 route show default; ip -6 route show default', /via (\S+)/g),
  );
  const { containers = [] } = (await askAsHost<Containers>(vm, 'ListContainers')) ?? {};
  const [id = '', image] = (await vm.ok(`docker inspect -f '{{.Id}} {{.Config.Image}}' ${CONTAINER}`)).split(' ');
  expect(containers).toMatchObject([{ id, names: [`/${CONTAINER}`], image, state: 'running' }]);
  const info = await askAsHost<{ app_id: string; version: string }>(vm, 'Info');
  expect(info?.app_id).toBe((await agentCall<{ app_id: string }>(vm, 'Info')).app_id);
  return true;
}
