/**
 * What a program in a unit's sandbox must not be able to do although its user is root: tried by a script in the place of the
 * unit's own program, so that every directive of the unit holds.
 */
import { expect } from 'vitest';

/** A machine with systemd: a VM, or a room of units. */
export interface Target {
  sh(command: string, options?: { timeoutMs?: number }): Promise<{ exit: number; stdout: string; stderr: string }>;
  ok(command: string, options?: { timeoutMs?: number }): Promise<string>;
}

/** A unit's own sandbox around a script in place of its program; what the script prints comes back. */
export async function inside(vm: Target, unit: string, script: string): Promise<string> {
  const dropIn = `/run/systemd/system/${unit}.d`;
  const probe = '/etc/dstack-probe';
  const lines = [
    '[Service]',
    ...['Type=oneshot', 'Restart=no', 'TimeoutStartSec=300', 'ExecStart=', `ExecStart=/bin/bash ${probe}`],
  ];
  await vm.ok(
    [
      `mkdir -p ${dropIn}`,
      `printf '%s\\n' ${lines.map((line) => `'${line}'`).join(' ')} >${dropIn}/99-probe.conf`,
      `echo ${Buffer.from(`set -eu\n${script}\n`).toString('base64')} | base64 -d >${probe}`,
      'systemctl daemon-reload',
    ].join('\n'),
    { timeoutMs: 60_000 },
  );
  const { exit } = await vm.sh(`systemctl restart ${unit}`, { timeoutMs: 320_000 });
  const said = await vm.ok(`journalctl -o cat -u ${unit} --invocation=0 || true`);
  await vm.ok(`rm -r ${dropIn} ${probe}; systemctl daemon-reload`, { timeoutMs: 60_000 });
  expect(exit, said).toBe(0);
  return said;
}

/** files that make code of somebody else root, or change what others believe */
const FILES = [
  '/run/systemd/system/probe.service',
  '/run/systemd/transient/probe.service',
  '/run/systemd/generator/probe.service',
  '/run/udev/rules.d/99-probe.rules',
  '/run/tmpfiles.d/probe.conf',
  '/run/sysctl.d/probe.conf',
  '/run/modprobe.d/probe.conf',
  '/run/docker/probe',
  '/run/dstack/attestation/roots.json',
  '/run/probe',
  '/etc/systemd/system/probe.service',
  '/usr/lib/systemd/system/probe.service',
  '/var/lib/probe',
  '/var/volatile/probe',
  '/dstack/probe',
  '/dstack/.host-shared/probe',
  '/proc/1/root/run/probe',
  '/sys/probe',
];

/** kernel settings that run programs, or open the machine otherwise; opened for writing, nothing is written */
const SETTINGS = [
  '/proc/sys/kernel/core_pattern',
  '/proc/sys/kernel/modprobe',
  '/proc/sysrq-trigger',
  '/sys/kernel/uevent_helper',
  '/sys/kernel/mm/transparent_hugepage/enabled',
  '/sys/power/state',
  '/sys/fs/cgroup/cgroup.procs',
];

const COMMANDS = [
  'systemctl daemon-reload',
  'systemd-run --wait true',
  'busctl --timeout=10 status org.freedesktop.systemd1',
  'busctl --timeout=10 list',
  'journalctl --flush',
  'curl -sS -m 10 --unix-socket /run/docker.sock http://docker/_ping',
  'curl -sS -m 10 --unix-socket /var/run/docker.sock http://docker/_ping',
  'socat -u /dev/null UNIX-CONNECT:/run/containerd/containerd.sock',
  'socat -u /dev/null UNIX-CONNECT:/run/systemd/private',
  'socat -u /dev/null UNIX-CONNECT:/run/dbus/system_bus_socket',
  'mount -t tmpfs probe /mnt',
  'unshare --mount true',
  'unshare --user true',
  'nsenter --target 1 --mount true',
  'mknod /dev/probe b 254 0',
  'modprobe dm-verity',
  'date -s 2001-01-01',
  'cat /var/volatile/dstack/.host-shared/.appkeys.json',
  'cat /dstack/.host-shared/.decrypted-env',
  'cat /dstack/.host-shared/.decrypted-env.json',
  'ls /var/lib/docker',
  'ls /var/volatile/dstack/persistent/var/lib/docker',
];

const SCRIPT = `
for path in ${FILES.join(' ')}; do
  mkdir -p "\${path%/*}" 2>/dev/null || true
  if (: >"$path") 2>/dev/null; then echo "open: file $path"; fi
done
for path in ${SETTINGS.join(' ')}; do
  if (: >>"$path") 2>/dev/null; then echo "open: setting $path"; fi
done
while read -r command; do
  if timeout 20 $command </dev/null >/dev/null 2>&1; then echo "open: $command"; fi
done <<'END'
${COMMANDS.join('\n')}
END
for root in /proc/[0-9]*/root; do
  for path in run/systemd/private run/docker.sock run/dbus/system_bus_socket; do
    if [ -e "$root/$path" ]; then echo "open: $root/$path"; fi
  done
done
while read -r _ _ _ flags _ _ _ path; do
  case $path in
    @*) if [ "$flags" = 00010000 ]; then echo "socket $path"; fi ;;
    /*) if [ -S "$path" ]; then echo "socket $path"; fi ;;
  esac
done </proc/self/net/unix
# what the host's wish to power off takes
kill -0 1
echo tried
`;

export interface Tried {
  /** what should have failed and did not */
  readonly open: readonly string[];
  /** unix sockets of the machine that can be reached: paths, and abstract names that somebody listens on */
  readonly sockets: readonly string[];
}

/** Tries everything in the sandbox of a unit, and afterwards starts it with its own program again. */
export async function attack(vm: Target, unit: string): Promise<Tried> {
  // a process of another unit that has docker's socket is there while this one looks for a way
  await vm.sh('curl -sS -m 60 --unix-socket /run/dstack-docker-view/docker.sock http://docker/', { timeoutMs: 90_000 });
  const lines = (await inside(vm, unit, SCRIPT)).split('\n');
  expect(lines).toContain('tried');
  const after = (start: string) =>
    [...new Set(lines.filter((line) => line.startsWith(start)).map((line) => line.slice(start.length)))].toSorted();
  return { open: after('open: '), sockets: after('socket ') };
}
