/** A network namespace of this test alone: real iptables, nft, wg and packets, and nothing of it on the machine itself. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { DstackError } from '../../src/errors.ts';
import type { run } from '../../src/sys/exec.ts';
import { PROGRAMS, SAFE_PATH } from '../../src/sys/programs.ts';

const env = { PATH: SAFE_PATH, LC_ALL: 'C' };
const works = (file: string, ...args: string[]) => spawnSync(file, args, { env }).status === 0;

/** Why a namespace with these programs cannot be had here; undefined when it can. */
export function netnsMissing(...programs: string[]): string | undefined {
  if (process.getuid?.() !== 0) return 'only root makes network namespaces';
  const missing = ['ip', 'nsenter', 'unshare', ...programs].filter((name) => !works('sh', '-c', `command -v ${name}`));
  if (missing.length > 0) return `not installed: ${missing.join(', ')}`;
  if (!works('unshare', '--net', 'ip', 'link', 'set', 'lo', 'up')) return 'the kernel gives no network namespace';
  if (programs.includes('nft') && !works('unshare', '--net', 'nft', 'add', 'table', 'inet', 't'))
    return 'no nftables here';
  if (programs.includes('wireguard-go') && !existsSync('/dev/net/tun')) return 'no /dev/net/tun here';
  return undefined;
}

// /run of its own: wireguard-go leaves its sockets there under the name of the interface
const PREPARE = 'mount -t tmpfs none /run && ip link set lo up && echo ready && exec sleep 900';

export class NetworkNamespace {
  readonly #holder: ChildProcess;
  readonly commands: string[] = [];

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  static async open(): Promise<NetworkNamespace> {
    const holder = spawn('unshare', ['--net', '--mount', '--propagation', 'private', 'sh', '-c', PREPARE], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise<void>((resolve, reject) => {
      holder.stdout?.once('data', () => resolve());
      holder.once('exit', () => reject(new Error('the namespace ended')));
    });
    return new NetworkNamespace(holder);
  }

  get pid(): number {
    return this.#holder.pid ?? 0;
  }

  close(): void {
    this.#holder.kill();
  }

  /** words in front of a command that put it into the namespace */
  get enter(): string[] {
    const ns = `/proc/${this.pid}/ns`;
    return ['nsenter', `--net=${ns}/net`, `--mount=${ns}/mnt`, `--wdns=${process.cwd()}`];
  }

  /** The interface of `run`, inside the namespace. */
  readonly run: typeof run = async (program, args, options = {}) => {
    const file = PROGRAMS[program];
    this.commands.push([file, ...args].join(' '));
    const [head = '', ...words] = [...this.enter, file, ...args];
    const done = spawnSync(head, words, {
      encoding: 'utf8',
      env: { ...env, ...options.env },
      input: options.stdin === undefined ? '' : Buffer.from(options.stdin),
      timeout: options.timeoutMs ?? 60_000,
    });
    const exit = done.status ?? -1;
    if (!(options.ok ?? [0]).includes(exit)) {
      const message = `${file} ${args.join(' ')} failed with exit status ${exit}: ${done.stderr}`;
      throw new DstackError(options.code ?? 'COMMAND_FAILED', message);
    }
    return { exit, stdout: done.stdout, stderr: done.stderr };
  };

  /** Runs a shell command; its output. */
  sh(command: string): string {
    const [head = '', ...words] = [...this.enter, 'sh', '-c', command];
    const done = spawnSync(head, words, { encoding: 'utf8', env });
    if (done.status !== 0) throw new Error(`${command}: ${done.stderr}`);
    return done.stdout;
  }

  /** Starts a JavaScript program inside the namespace. */
  start(script: string, ...args: string[]): ChildProcess {
    return this.spawn([process.execPath, '-e', script, ...args]);
  }

  spawn(command: readonly string[]): ChildProcess {
    const [head = '', ...words] = [...this.enter, ...command];
    return spawn(head, words, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...env, DSTACK_LOG: 'warn' } });
  }
}
