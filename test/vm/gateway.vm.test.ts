/**
 * A guest with a KMS and two gateways, in one boot without docker: its page through the tunnel of the kernel, then faults
 * that the host brings about while the guest runs. What each one cost stands in docs/faults.md.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { demoAppComposeText } from '../../initramfs/demo/app-compose.ts';
import { gatewayAppId, VmGateway } from '../../initramfs/vm/gateway.ts';
import { startVmKms, type VmKms } from '../../initramfs/vm/kms.ts';
import type { Machine } from '../../initramfs/vm/machine.ts';
import { defaultAppId } from '../../initramfs/vm/share.ts';
import { vsockDevice } from '../../initramfs/vm/vsock.ts';
import { boot, fails, payloads, THAWED, vmDir } from './support.ts';

const PAGE = 'the page of the app';
const APP = { key_provider: 'kms', gateway_enabled: true };
/** the app, without its containers; a file, because socat reads a quoted command in its own way */
const SERVE = `
cat >/run/page.sh <<'END'
#!/bin/sh
while read -r line && [ "$line" != "$(printf '\\r')" ]; do :; done
printf 'HTTP/1.0 200 OK\\r\\n\\r\\n${PAGE}'
END
chmod +x /run/page.sh
setsid -f socat TCP-LISTEN:8080,fork,reuseaddr EXEC:/run/page.sh >/dev/null 2>&1 </dev/null
`;
/** everything a boot starts but what belongs to containers */
const GO =
  'systemctl start --no-block systemd-networkd.service dstack-prepare.service dstack-guest-agent.service dstack-gateway-checker.service';
const SYS_CONFIG = '/dstack/.host-shared/.sys-config.json';
/** with the program on this host everything the guest tells comes over AF_VSOCK, else over HTTP */
const overVsock = vsockDevice() !== undefined;
const FORCE = 'dstack-util gateway-refresh --force';
/** configuration, rules without their counters, and the interface's idea of its peers */
const STATE = 'cat /etc/wireguard/dstack-wg0.conf; iptables -S; wg show dstack-wg0 peers; wg show dstack-wg0 endpoints';

let kms: VmKms;
let gateways: [VmGateway, VmGateway];
let pages: [string, string];
let vm: Machine;

beforeAll(async () => {
  const policy = { apps: new Set([defaultAppId(demoAppComposeText(APP))]), composeHashes: new Set<string>() };
  kms = await startVmKms({ policy, gatewayAppId, state: join(vmDir('gateway'), 'kms') });
  gateways = [await VmGateway.start(kms.roots, 0), await VmGateway.start(kms.roots, 1)];
  pages = [await gateways[0].publish(8080), await gateways[1].publish(8080)];
  vm = await boot('gateway', {
    ...THAWED,
    app: APP,
    vsock: overVsock,
    network: 'open',
    services: [...kms.services, ...gateways.flatMap(({ services }) => services)],
    sysConfig: { ...kms.sysConfig, gateway_urls: gateways.flatMap(({ sysConfig }) => sysConfig.gateway_urls) },
    dataDiskSize: 512 * 1024 * 1024,
  });
  await vm.ok(`${SERVE}\n${GO}`, { timeoutMs: 240_000 });
  await vm.waitFor({ event: 'boot.progress', payload: 'setting up docker' }, 600_000);
}, 900_000);
afterAll(async () => {
  await vm?.stop();
  for (const gateway of gateways ?? []) await gateway.close();
  await kms?.close();
});

/** The page as it comes through one of the gateways; undefined when it does not. */
async function page(through: 0 | 1, limitMs = 60_000): Promise<string | undefined> {
  for (const end = Date.now() + limitMs; Date.now() < end; ) {
    const signal = AbortSignal.timeout(Math.min(5000, limitMs));
    const text = await fetch(pages[through], { signal }).then(
      (answer) => answer.text(),
      () => undefined,
    );
    if (text) return text;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  return undefined;
}

it('carries the page through the tunnel of the kernel, and the checker watches it', async () => {
  expect(await page(0)).toBe(PAGE);
  expect(gateways[0].guest).toBe('10.4.0.10');
  expect(payloads(vm, 'boot.error')).toEqual([]);
  expect(await vm.ok('ip -d link show dstack-wg0')).toContain('wireguard');
  for (const unit of ['dstack-gateway-checker', 'dstack-guest-agent']) {
    await vm.ok(`until systemctl is-active -q ${unit}; do sleep 0.5; done`, { timeoutMs: 120_000 });
  }
  expect(await vm.ok('stat -c %a /etc/wireguard/dstack-wg0.conf /run/dstack/gateway-cache.json')).toBe('600\n600');
});

it.runIf(overVsock)('has told its boot over vsock, and answers its host there', async () => {
  expect(JSON.parse(await vm.ok(`cat ${SYS_CONFIG}`)).host_api_url).toBe('vsock://2:4040/api');
  expect(payloads(vm, 'instance.info')).toHaveLength(1);
  const { status, text } = await vm.vsock!.ask(8000, '/api/SysInfo');
  expect(status).toBe(200);
  expect(JSON.parse(text).kernel_version).toBe(await vm.ok('uname -r'));
  await vm.ok('dstack-util notify-host -e from.vsock -d words');
  expect(payloads(vm, 'from.vsock')).toEqual(['words']);
});

it('drops packets that no gateway sent', async () => {
  const dropped = async () => Number(/^\s*(\d+).*DROP/m.exec(await vm.ok('iptables -nvxL DSTACK_WG'))?.[1]);
  const before = await dropped();
  await vm.ok('printf x > /dev/udp/127.0.0.1/9182');
  expect(await dropped()).toBe(before + 1);
});

/** what happens to both gateways, and what the guest must say of the first one */
const FAULTS: [
  name: string,
  cause: string,
  on: (gateway: VmGateway) => unknown,
  off: (gateway: VmGateway) => unknown,
][] = [
  ['is down', 'cannot be reached', (g) => set(g, 'down', true), (g) => set(g, 'down', false)],
  [
    'dies in its answer',
    'closed in the middle of the answer',
    (g) => set(g, 'dieMidAnswer', true),
    (g) => set(g, 'dieMidAnswer', false),
  ],
  [
    'answers garbage',
    'wg.client_ip must be an IPv4 address',
    (g) => set(g, 'garbage', true),
    (g) => set(g, 'garbage', false),
  ],
  ['has the wrong app id', 'belongs to app 0707', (g) => g.showApp(new Uint8Array(20).fill(7)), (g) => g.showApp()],
];
const set = (gateway: VmGateway, fault: 'down' | 'dieMidAnswer' | 'garbage', value: boolean): void => {
  gateway.server.faults[fault] = value;
};

it.each(FAULTS)('keeps its tunnel and its rules while every gateway %s', async (_, cause, on, off) => {
  const before = await vm.ok(STATE);
  for (const gateway of gateways) await on(gateway);
  const said = await fails(vm, FORCE, 'GATEWAY_UNREACHABLE');
  for (const gateway of gateways) await off(gateway);
  expect(said).toContain('all dstack-gateway urls');
  expect(said).toContain(cause);
  expect(await vm.ok(STATE)).toBe(before);
  expect(await page(0)).toBe(PAGE);
});

it('keeps its tunnel without a name service, and without the KMS', async () => {
  const before = await vm.ok(STATE);
  const named = `sed -i.bak 's|10.0.2.103|gateway.invalid|; s|10.0.2.104|gateway.invalid|' ${SYS_CONFIG}`;
  const said = await fails(
    vm,
    `${named}; ${FORCE}; code=$?; mv ${SYS_CONFIG}.bak ${SYS_CONFIG}; exit $code`,
    'GATEWAY_UNREACHABLE',
  );
  expect(said).toContain('gateway.invalid');
  await kms.kms.close();
  // the certificates of the boot are good without it
  await vm.ok(FORCE, { timeoutMs: 60_000 });
  expect(await vm.ok(STATE)).toBe(before);
  expect(await page(0)).toBe(PAGE);
});

it('is back through its checker after the gateway forgot it', async () => {
  // a checker that has just begun has no registration of its own due, which on a slow machine would come in between
  await vm.ok('systemctl restart dstack-gateway-checker');
  gateways[0].server.forget();
  expect(await page(0, 3000)).toBeUndefined();
  // the age of the last handshake is told in the time of day: this is three minutes of silence
  await vm.ok("date -s '+200 seconds'");
  const began = Date.now();
  expect(await page(0, 90_000)).toBe(PAGE);
  console.log(`back after ${((Date.now() - began) / 1000).toFixed(1)} s`);
  expect(await vm.ok('journalctl -b -u dstack-gateway-checker --no-pager')).toContain('renewed by force');
  expect(await vm.ok('systemctl show -p NRestarts --value dstack-gateway-checker')).toBe('0');
});

it('goes to the second gateway when the first one dies', async () => {
  await gateways[0].close();
  await vm.ok(FORCE, { timeoutMs: 60_000 });
  expect(await page(1)).toBe(PAGE);
  expect(gateways[1].guest).toBe('10.5.0.10');
});
