/**
 * The image's own systemd with the image's own units, without a VM: the package tree and the overlay of the image in
 * namespaces of their own, with an agent that answers from canned evidence and a real dockerd. A sandbox is the same here as
 * in a guest, and it takes seconds. Needs root and control groups of version 2.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../initramfs/lib/cache.ts';
import { ensurePackages } from '../../initramfs/lib/packages.ts';
import { ensureTools } from '../../initramfs/lib/tools.ts';
import { ensureBinaries } from '../../initramfs/vm/dev-image.ts';
import type { Output } from './docker-room.ts';

const COMPOSE = {
  manifest_version: 2,
  name: 'unit-room',
  runner: 'docker-compose',
  docker_compose_file: 'services: {}',
  public_logs: true,
  public_sysinfo: true,
  agent_sockets: [{ name: 'web', allow: ['GetKey'], key_prefix: 'web/' }],
};
const AGENT = {
  default: {
    core: {
      data_disks: ['/', '/var/volatile/dstack/persistent'],
      simulator: { enabled: true, attestation_file: '/dstack/attestation.bin' },
    },
  },
};
/** kernel settings and modules are those of this machine; the others need devices */
const MASKED = [
  'systemd-sysctl.service',
  'systemd-modules-load.service',
  'dstack-modules.service',
  'dstack-boot-failed.service',
];
const DOCKERD =
  '/usr/sbin/dockerd -H fd:// --iptables=false --ip6tables=false --bridge=none --storage-driver=vfs ' +
  '--exec-opt native.cgroupdriver=cgroupfs';

/** arguments: package tree, overlay, dstack-util, canned guest, folder of the room, a static busybox */
const ENTER = `
set -e
r=$5/root
mount -t tmpfs tmpfs "$5"
mkdir -p "$5/upper" "$5/work" "$r"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$5/upper,workdir=$5/work" "$r"
cp -a "$2/." "$r/"
cp "$3" "$r/usr/bin/dstack-util"
ln -s dstack-util "$r/usr/bin/dstack-guest-agent"
mkdir -p "$r/image/bin"
cp "$6" "$r/image/bin/busybox"
mkdir -p "$r/dstack/.host-shared" "$r/var/volatile/dstack/.host-shared" "$r/var/volatile/dstack/persistent/var/lib/docker"
cp "$4/attestation.bin" "$4/agent.json" "$r/dstack/"
cp "$4/app-compose.json" "$r/dstack/.host-shared/"
cp "$4/sys-config.json" "$r/dstack/.host-shared/.sys-config.json"
cp "$4/appkeys.json" "$r/dstack/.host-shared/.appkeys.json"
for name in .decrypted-env .decrypted-env.json; do echo secret >"$r/dstack/.host-shared/$name"; done
cp "$4/appkeys.json" "$r/var/volatile/dstack/.host-shared/.appkeys.json"
chmod 600 "$r"/dstack/.host-shared/.[ad]*
chown -R root:root "$r/dstack"
mkdir -p "$r/var/lib/docker"
mount -t tmpfs tmpfs "$r/var/lib/docker"
for unit in ${MASKED.join(' ')}; do ln -sf /dev/null "$r/etc/systemd/system/$unit"; done
rm -rf "$r/usr/lib/systemd/system/docker.service.d" "$r/usr/lib/systemd/system/containerd.service.d"
mkdir -p "$r/etc/systemd/system/dstack-prepare.service.d" "$r/etc/systemd/system/docker.service.d"
printf '[Service]\\nExecStart=\\nExecStart=/bin/true\\nExecStop=\\n' >"$r/etc/systemd/system/dstack-prepare.service.d/room.conf"
printf '[Service]\\nExecStart=\\nExecStart=${DOCKERD}\\n' >"$r/etc/systemd/system/docker.service.d/room.conf"
mount -t tmpfs tmpfs "$r/run"
mount -t tmpfs tmpfs "$r/tmp"
mount -t proc proc "$r/proc"
mount -t sysfs sysfs "$r/sys"
mount -t cgroup2 cgroup2 "$r/sys/fs/cgroup"
mount -t tmpfs tmpfs "$r/dev"
mkdir "$r/dev/pts" "$r/dev/shm"
ln -s pts/ptmx "$r/dev/ptmx"
touch "$r/dev/console"
for node in null zero full random urandom tty; do touch "$r/dev/$node"; mount --bind "/dev/$node" "$r/dev/$node"; done
ip link set lo up
rm -f "$r/etc/machine-id"
touch "$r/etc/machine-id"
cd "$r"
pivot_root . mnt
umount -l /mnt
echo ready
exec env -i container=docker PATH=/usr/sbin:/usr/bin /sbin/init --unit=sysinit.target >/dev/null 2>&1
`;

export class UnitRoom {
  readonly #dir: string;
  readonly #init: ChildProcess;
  readonly #pid: number;

  private constructor(dir: string, init: ChildProcess, pid: number) {
    this.#dir = dir;
    this.#init = init;
    this.#pid = pid;
  }

  /** Starts systemd, waits for sysinit.target, then starts D-Bus, the agent and dockerd. */
  static async create(): Promise<UnitRoom> {
    const tools = await ensureTools({});
    const { tree } = await ensurePackages(tools, 'dev', {});
    const { util, sim } = await ensureBinaries();
    const dir = mkdtempSync(join(tmpdir(), 'unit-room-'));
    const [guest, room] = [join(dir, 'guest'), join(dir, 'room')];
    mkdirSync(room);
    writeFileSync(join(dir, 'app-compose.json'), JSON.stringify(COMPOSE));
    execFileSync(sim, ['attestation', '--out', guest, '--app-compose', join(dir, 'app-compose.json')], {
      stdio: 'ignore',
    });
    writeFileSync(join(guest, 'agent.json'), JSON.stringify(AGENT));
    const overlay = join(projectRoot, 'initramfs/overlay/common');
    const kinds = ['--mount', '--net', '--pid', '--uts', '--ipc', '--cgroup'];
    const argv = [...kinds, '--fork', '--kill-child', '--propagation', 'private', 'sh', '-c', ENTER, 'sh'];
    const busybox = join(tools.dir, 'usr/bin/busybox');
    const init = spawn('unshare', [...argv, tree, overlay, util, guest, room, busybox], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let errors = '';
    init.stderr.on('data', (chunk) => (errors += chunk));
    await new Promise<void>((resolve, reject) => {
      init.stdout.once('data', () => resolve());
      init.once('exit', () => reject(new Error(`the room was not made: ${errors}`)));
    });
    const pid = Number(readFileSync(`/proc/${init.pid}/task/${init.pid}/children`, 'utf8').trim().split(' ')[0]);
    const made = new UnitRoom(dir, init, pid);
    await made.ok('until systemctl is-active -q sysinit.target 2>/dev/null; do sleep 0.2; done');
    await made.ok('systemctl start dbus.socket dstack-guest-agent.service docker.service');
    return made;
  }

  /** Runs a shell command inside. */
  sh(command: string, { timeoutMs = 120_000 } = {}): Promise<Output> {
    return new Promise((resolve, reject) => {
      const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LC_ALL: 'C' };
      const into = ['-t', String(this.#pid), '-m', '-n', '-p', '-u', '-i', '-C', 'sh', '-c', command];
      const child = spawn('nsenter', into, { stdio: ['ignore', 'pipe', 'pipe'], env, timeout: timeoutMs });
      let stdout = '';
      let stderr = '';
      child.stdout.on('data', (chunk) => (stdout += chunk));
      child.stderr.on('data', (chunk) => (stderr += chunk));
      child.on('error', reject);
      child.on('close', (status) => resolve({ exit: status ?? 137, stdout, stderr }));
    });
  }

  /** Like `sh`, for a command that must succeed. @returns what it printed, without the last line end */
  async ok(command: string, options = {}): Promise<string> {
    const { exit, stdout, stderr } = await this.sh(command, options);
    if (exit !== 0) throw new Error(`$ ${command}\nexit ${exit}\n${stdout}${stderr}`);
    return stdout.replace(/\n$/, '');
  }

  /** Runs a shell command in a container that has a network of its own, an image `NAME:1` and nothing but busybox. */
  async startContainer(name: string, options: string, command: string): Promise<void> {
    await this.ok(
      `cd /image && for a in sh sleep echo; do ln -sf busybox bin/$a; done; tar -c . | docker import - ${name}:1`,
    );
    await this.ok(`docker run -d --name ${name} --network none ${options} ${name}:1 sh -c '${command}'`);
  }

  async close(): Promise<void> {
    this.#init.kill('SIGKILL');
    await new Promise((resolve) => this.#init.once('close', resolve));
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
