/** What the sandboxes of the units must leave open, tried in a guest whose agent runs: each job's rarest deeds. */
import { expect } from 'vitest';
import type { Machine } from '../../initramfs/vm/machine.ts';
import { askAsHost } from './public-port.ts';
import { attack, inside, type Target } from './sandbox-attacks.ts';

const CHECKER = 'dstack-gateway-checker.service';
const AGENT = 'dstack-guest-agent.service';
/** where resolvers are asked, if the machine has any, and where a unit says that it is ready */
const COMMON = /^\/run\/systemd\/(?:notify|resolve\/)/;
const VIEW = '/run/dstack-docker-view/docker.sock';

/** The checker takes quotes, sets rules and brings the tunnel up; it reads no other home and loads no module. */
export async function checkerSandbox(vm: Machine): Promise<void> {
  const said = await inside(
    vm,
    CHECKER,
    [
      'head -c 64 /dev/zero | dstack-util quote >/run/dstack/probe-quote',
      'conf=/etc/wireguard/dstack-wg0.conf',
      '(umask 077; printf "[Interface]\\nPrivateKey = %s\\nListenPort = 9182\\nAddress = 10.66.0.2/32\\n" $(wg genkey) >$conf)',
      'printf "*filter\\n:PROBE - [0:0]\\n-A PROBE -j DROP\\nCOMMIT\\n" | iptables-restore -w 5 --noflush',
      'iptables -w 5 -C PROBE -j DROP',
      'printf "table inet probe {}\\n" | nft -f -',
      'wg-quick down $conf || true',
      'wg-quick up $conf',
      'wg show dstack-wg0 latest-handshakes',
      'echo "tunnel $(wg show dstack-wg0 listen-port)"',
      'for path in /etc/probe /usr/probe /proc/sys/kernel/core_pattern; do ! (echo >$path) 2>/dev/null; done',
      '! modprobe dm-verity 2>/dev/null; ! unshare --user true 2>/dev/null; ! date -s 2001-01-01 2>/dev/null',
      'echo closed',
    ].join('\n'),
  );
  expect(said).toContain('tunnel 9182');
  expect(said).toContain('closed');
  expect(Number(await vm.ok('stat -c %s /run/dstack/probe-quote'))).toBeGreaterThan(1000);
  expect(await vm.ok('date +%Y')).not.toBe('2001');
  // the agent shows the same interface to the host, which takes the network capability that it kept
  const network = await askAsHost<{ wg_info: string }>(vm, 'NetworkInfo');
  expect(network?.wg_info).toMatch(/interface: dstack-wg0\n[\s\S]*listening port: 9182/);
  await vm.ok('ip link del dstack-wg0; rm /etc/wireguard/dstack-wg0.conf; iptables -F PROBE; iptables -X PROBE');
}

/** Root's ways out of the checker are closed. */
export async function checkerAttacked(vm: Target): Promise<void> {
  const { open, sockets } = await attack(vm, CHECKER);
  expect(open).toEqual([]);
  expect(sockets.filter((path) => !COMMON.test(path))).toEqual([]);
}

/** Root's ways out of the agent are closed, docker's socket among them; the agent runs again afterwards. */
export async function agentAttacked(vm: Target): Promise<void> {
  const { open, sockets } = await attack(vm, AGENT);
  await vm.ok(`systemctl start ${AGENT}`, { timeoutMs: 240_000 });
  expect(open).toEqual([]);
  expect(sockets.filter((path) => !COMMON.test(path))).toEqual([VIEW, '/run/dstack.sock', '/run/tappd.sock']);
}

/** The agent's view of docker, asked as the agent may: it makes no container and shows no environment. */
export async function dockerViewed(vm: Target, container: string): Promise<void> {
  const ask = (options: string) =>
    vm.ok(`curl -sS -m 100 -w '\\n%{http_code}' --unix-socket ${VIEW} ${options}`, { timeoutMs: 120_000 });
  const image = await vm.ok(`docker inspect -f {{.Image}} ${container}`);
  const create = `-d '{"Image":"${image}","HostConfig":{"Privileged":true}}' -H 'content-type: application/json'`;
  expect(await ask(`${create} http://docker/containers/create?name=probe`)).toMatch(/\n403$/);
  expect((await vm.sh('docker inspect probe')).exit).not.toBe(0);
  const inspected = await ask(`http://docker/containers/${container}/json`);
  expect(inspected).toMatch(/"Tty":false[\s\S]*\n200$/);
  expect(inspected).not.toContain('"Env"');
  const process = await vm.ok('systemctl show -P MainPID dstack-docker-view.service');
  expect(Number(await vm.ok(`stat -c %u /proc/${process}`))).toBeGreaterThan(0);
  expect(await vm.ok(`stat -c '%a %U' ${VIEW}`)).toBe('600 root');
}

/** The host asks the agent to power off, which is the last that a sandboxed agent must be able to do. */
export async function shutdownByHost(vm: Machine): Promise<void> {
  await vm.ok('systemctl start dstack-guest-agent.service', { timeoutMs: 240_000 });
  // the shell of this test may go before the answer has come
  expect(await askAsHost(vm, 'Shutdown').catch(() => null)).toBeNull();
  await vm.waitFor({ event: 'shutdown.progress', payload: 'powering off' }, 60_000);
  await vm.waitExit(120_000);
  expect(vm.console.text).not.toMatch(/power-off failed/);
}
