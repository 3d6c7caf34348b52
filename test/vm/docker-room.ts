/**
 * A real dockerd without a VM: the package tree of the image under an overlay, in mount, network and process namespaces
 * of its own. It has no network but the loopback device and goes away with everything in it. Needs root, like the image.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ensurePackages } from '../../initramfs/lib/packages.ts';
import { ensureTools } from '../../initramfs/lib/tools.ts';
import { ensureBinaries } from '../../initramfs/vm/dev-image.ts';

export interface Output {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

const BUN = join(import.meta.dirname, '../../node_modules/@oven/bun-linux-x64-baseline/bin/bun');

/** Debian's package docker-registry, on the host. */
export const PRIVATE_REGISTRY = '/usr/bin/docker-registry';

const MOUNTS = [
  'set -e',
  'lower=$1; dir=$2; binary=$3',
  'mount -t overlay overlay -o "lowerdir=$lower,upperdir=$dir/upper,workdir=$dir/work" "$dir/root"',
  'mount --rbind /dev "$dir/root/dev"',
  'mount -t proc proc "$dir/root/proc"',
  'mount --rbind /sys "$dir/root/sys"',
  'mount -t tmpfs tmpfs "$dir/root/run"',
  'mkdir -p "$dir/root/run/dstack"',
  // not on the overlay: docker makes overlays of its own there
  'mount --bind "$dir/docker" "$dir/root/var/lib/docker"',
  'mount --bind "$binary" "$dir/root/usr/bin/dstack-util"',
  'ip link set lo up',
  'echo ready',
  'exec sleep infinity',
].join('\n');

export class DockerRoom {
  readonly #dir: string;
  readonly #layers: { tree: string; util: string };
  #init: ChildProcess | undefined;
  readonly #helpers: ChildProcess[] = [];
  #pid = 0;

  private constructor(dir: string, layers: { tree: string; util: string }) {
    this.#dir = dir;
    this.#layers = layers;
  }

  static async create(): Promise<DockerRoom> {
    const tools = await ensureTools({});
    const { tree } = await ensurePackages(tools, 'dev', {});
    const { util } = await ensureBinaries();
    const dir = mkdtempSync(join(tmpdir(), 'docker-room-'));
    for (const name of ['upper/var/lib/docker', 'upper/usr/bin', 'upper/dstack/.host-shared', 'work', 'root', 'docker'])
      mkdirSync(join(dir, name), { recursive: true });
    writeFileSync(join(dir, 'upper/usr/bin/dstack-util'), '');
    // one static program is enough of an image
    const image = join(dir, 'upper/image/bin');
    mkdirSync(image, { recursive: true });
    cpSync(join(tools.dir, 'usr/bin/busybox'), join(image, 'busybox'));
    const room = new DockerRoom(dir, { tree, util });
    await room.#enter();
    return room;
  }

  /** New namespaces over what is on the disk: a boot. */
  async #enter(): Promise<void> {
    const { tree, util } = this.#layers;
    const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--propagation', 'private'];
    const init = spawn('unshare', [...namespaces, 'sh', '-c', MOUNTS, 'sh', tree, this.#dir, util], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let errors = '';
    init.stderr.on('data', (chunk) => {
      errors += chunk;
    });
    await new Promise<void>((resolve, reject) => {
      init.stdout.once('data', () => resolve());
      init.once('exit', () => reject(new Error(`the room for docker was not made: ${errors}`)));
    });
    this.#init = init;
    this.#pid = Number(readFileSync(`/proc/${init.pid}/task/${init.pid}/children`, 'utf8').trim().split(' ')[0]);
  }

  async #leave(): Promise<void> {
    for (const helper of this.#helpers.splice(0)) helper.kill('SIGKILL');
    const init = this.#init;
    this.#init = undefined;
    if (init === undefined) return;
    init.kill('SIGKILL');
    await new Promise((resolve) => init.once('close', resolve));
  }

  /** Runs a shell command inside. */
  sh(command: string, { timeoutMs = 120_000 } = {}): Promise<Output> {
    return new Promise((resolve, reject) => {
      const inside = ['chroot', join(this.#dir, 'root'), 'sh', '-c', command];
      const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LC_ALL: 'C' };
      const child = spawn('nsenter', ['-t', String(this.#pid), '-m', '-n', '-p', ...inside], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env,
      });
      let stdout = '';
      let stderr = '';
      const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
      child.stdout.on('data', (chunk) => {
        stdout += chunk;
      });
      child.stderr.on('data', (chunk) => {
        stderr += chunk;
      });
      child.on('error', reject);
      child.on('close', (status) => {
        clearTimeout(timer);
        resolve({ exit: status ?? 137, stdout, stderr });
      });
    });
  }

  async ok(command: string): Promise<string> {
    const { exit, stdout, stderr } = await this.sh(command);
    if (exit !== 0) throw new Error(`$ ${command}\nexit ${exit}\n${stdout}${stderr}`);
    return stdout;
  }

  /** A path of the guest as this process sees it: through the namespace's own view, the overlay is mounted only there. */
  seen(path: string): string {
    return `/proc/${this.#pid}/root${join(this.#dir, 'root', path)}`;
  }

  /** Writes a file of the guest. */
  write(path: string, text: string): void {
    const seen = this.seen(path);
    mkdirSync(dirname(seen), { recursive: true });
    writeFileSync(seen, text);
  }

  /** Starts dockerd and waits until it answers. @param options further ones of dockerd */
  async startDocker(options = ''): Promise<void> {
    await this.ok(
      'rm -f /run/docker.pid /var/run/docker.pid; ' +
        `(setsid dockerd ${options} --iptables=false --ip6tables=false --bridge=none --exec-opt native.cgroupdriver=cgroupfs >>/dockerd.log 2>&1 &); ` +
        'i=0; while ! docker info >/dev/null 2>&1; do i=$((i+1)); [ $i -lt 200 ] || { tail -20 /dockerd.log >&2; exit 1; }; sleep 0.2; done',
    );
  }

  /**
   * Starts a registry of one image that docker reaches as 127.0.0.1:PORT/app; it ends with the room.
   * @param padding how much larger than its one program the image is, in bytes
   * @returns the image's digest
   */
  async startRegistry(port: number, padding: number): Promise<string> {
    const program = join(this.#dir, 'upper/image/bin/busybox');
    const argv = [BUN, 'run', join(import.meta.dirname, 'registry.ts'), String(port), program, String(padding)];
    // only the network is the room's: the program is the host's
    const child = spawn('nsenter', ['-t', String(this.#pid), '-n', ...argv], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#helpers.push(child);
    return new Promise((resolve, reject) => {
      child.stdout.once('data', (line) => resolve(String(line).trim()));
      child.once('exit', () => reject(new Error('the registry did not start')));
    });
  }

  /**
   * Starts Debian's registry, which lets nobody in without a password; it ends with the room.
   * @param passwords lines of htpasswd, with bcrypt
   */
  async startPrivateRegistry(port: number, passwords: string): Promise<void> {
    const dir = join(this.#dir, 'private-registry');
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'htpasswd'), passwords);
    const config = {
      version: 0.1,
      log: { level: 'error' },
      storage: { filesystem: { rootdirectory: join(dir, 'data') } },
      http: { addr: `127.0.0.1:${port}` },
      auth: { htpasswd: { realm: 'test', path: join(dir, 'htpasswd') } },
    };
    // JSON is YAML
    writeFileSync(join(dir, 'config.yml'), JSON.stringify(config));
    const argv = ['-t', String(this.#pid), '-n', PRIVATE_REGISTRY, 'serve', join(dir, 'config.yml')];
    this.#helpers.push(spawn('nsenter', argv, { stdio: 'ignore' }));
    await this.ok(
      `i=0; while ! curl -s -o /dev/null http://127.0.0.1:${port}/v2/; do i=$((i+1)); [ $i -lt 300 ] || exit 1; sleep 0.2; done`,
    );
  }

  /** Everything inside dies at once, memory is gone, what was written stays. */
  async powerCut(): Promise<void> {
    await this.#leave();
    await this.#enter();
  }

  /** The docker compose of the image, as the host sees it. */
  get composeProgram(): string {
    return join(this.#layers.tree, 'usr/libexec/docker/cli-plugins/docker-compose');
  }

  async loadImage(tag = 'bb:1'): Promise<void> {
    await this.ok(
      `cd /image && for a in sh sleep echo true false cat sync; do ln -sf busybox bin/$a; done; tar -c . | docker import - ${tag} >/dev/null`,
    );
  }

  async close(): Promise<void> {
    await this.#leave();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
