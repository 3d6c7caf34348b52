/** What the sandboxes of the units must leave open, tried in a guest whose agent runs: each job's rarest deeds. */
import { expect } from 'vitest';
import type { Machine } from '../../initramfs/vm/machine.ts';
import { askAsHost } from './public-port.ts';

const UNIT = 'dstack-gateway-checker.service';

/** A unit's own sandbox around a script in place of its program; what the script prints comes back. */
async function inside(vm: Machine, unit: string, script: string): Promise<string> {
  const dropIn = `/run/systemd/system/${unit}.d`;
  const lines = ['[Service]', 'Type=oneshot', 'Restart=no', 'ExecStart=', 'ExecStart=/bin/bash /run/probe'];
  await vm.ok(
    [
      `mkdir -p ${dropIn}`,
      `printf '%s\\n' ${lines.map((line) => `'${line}'`).join(' ')} >${dropIn}/99-probe.conf`,
      `echo ${Buffer.from(`set -eu\n${script}\n`).toString('base64')} | base64 -d >/run/probe`,
      'systemctl daemon-reload',
    ].join('\n'),
    { timeoutMs: 60_000 },
  );
  const { exit } = await vm.sh(`systemctl restart ${unit}`, { timeoutMs: 180_000 });
  const said = await vm.ok(`journalctl -o cat -u ${unit} --invocation=0 || true`);
  await vm.ok(`rm -r ${dropIn} /run/probe; systemctl daemon-reload`, { timeoutMs: 60_000 });
  expect(exit, said).toBe(0);
  return said;
}

/** The checker takes quotes, sets rules and brings the tunnel up; it reads no other home and loads no module. */
export async function checkerSandbox(vm: Machine): Promise<void> {
  const said = await inside(
    vm,
    UNIT,
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

/** The host asks the agent to power off, which is the last that a sandboxed agent must be able to do. */
export async function shutdownByHost(vm: Machine): Promise<void> {
  await vm.ok('systemctl start dstack-guest-agent.service', { timeoutMs: 240_000 });
  // the shell of this test may go before the answer has come
  expect(await askAsHost(vm, 'Shutdown').catch(() => null)).toBeNull();
  await vm.waitFor({ event: 'shutdown.progress', payload: 'powering off' }, 60_000);
  await vm.waitExit(120_000);
  expect(vm.console.text).not.toMatch(/power-off failed/);
}
