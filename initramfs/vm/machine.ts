/** One running VM, in the words of a test: boot it, wait for what it reports, run commands in it, ask its services. */
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HostApi } from '../../simulator/host-api.ts';
import type { HostEvent } from '../../simulator/host-event.ts';
import { loadTools } from '../lib/tools.ts';
import { chooseAccelerator } from './accelerator.ts';
import { type EventMatch, waitForEvent } from './boot-events.ts';
import { claim } from './claim.ts';
import { ConsoleLog } from './console.ts';
import { startPastEarlyAbort } from './early-abort.ts';
import { ensureFrozen, NOTHING_STARTED } from './freeze.ts';
import { ask, askUntilReady, type HttpAnswer } from './http.ts';
import { instanceFile, prepareDisks, prepareShare, shareFolder } from './machine-disks.ts';
import { DEFAULT_CPUS, DEFAULT_MEMORY_MIB, type MachineOptions } from './machine-options.ts';
import { chooseForwards } from './ports.ts';
import { type Ended, QemuProcess } from './process.ts';
import { type Forward, type QemuConfig, qemuArgv } from './qemu.ts';
import { Qmp } from './qmp.ts';
import type { ShareFiles } from './share.ts';
import { Shell, type ShellResult } from './shell.ts';
import { type Thawed, thaw } from './thaw.ts';
import { thawOrBoot } from './thaw-or-boot.ts';
import { HOST_API_PORT, VSOCK_HOST_API_URL, VsockDevice, vsockDevice } from './vsock.ts';
import { retry, within } from './wait.ts';

const CONSOLE_TAIL = 40;
const POWEROFF_MS = 90_000;

/**
 * A private folder for the sockets of the VM in `dir`. Paths of sockets are short (unix(7): 108 bytes), so they do not go
 * into `dir` itself; the name follows from `dir`, so that a runner that was killed leaves nothing that stays.
 */
function freshSocketDir(dir: string): string {
  const path = join(tmpdir(), `dstack-vm-${createHash('sha256').update(dir).digest('hex').slice(0, 12)}`);
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { mode: 0o700 });
  return path;
}

/** Starts the guest; one that is to be thawed boots only when that fails. A vsock device is another process, whose state is not frozen. */
async function start(options: MachineOptions, config: QemuConfig, console: ConsoleLog, binds: string[]) {
  const boot = async (): Promise<Started> => ({
    qemu: await startPastEarlyAbort(() => QemuProcess.start(qemuArgv(config), console, binds), console),
  });
  if (!options.thaw || config.vsock !== undefined || config.hostile !== undefined) return boot();
  const { image, dir, kernelArgs = [] } = options;
  // the share is there under both names, and the labelled disk, if there is one, comes first
  const shared = { ...config, share9p: shareFolder(dir), cmdline: `${image.cmdline} ${NOTHING_STARTED}` };
  const ways = {
    frozen: () => ensureFrozen(shared, image.osImageHash, dir),
    thaw: (frozen: string): Promise<Started> => thaw({ ...shared, frozen }, kernelArgs, console, binds),
    boot,
  };
  return thawOrBoot(ways, console);
}

/** A thawed guest has its shell already. */
type Started = Pick<Thawed, 'qemu'> & Partial<Thawed>;

export class Machine implements AsyncDisposable {
  readonly options: MachineOptions;
  readonly console: ConsoleLog;
  readonly hostApi: HostApi;
  readonly forwards: readonly Forward[];
  readonly accelerator: 'kvm' | 'tcg';
  /** milliseconds since the epoch when QEMU was started */
  readonly startedAt: number;
  /** what this host and the guest talk over, if the VM has it */
  readonly vsock: VsockDevice | undefined;
  readonly #process: QemuProcess;
  readonly #sockets: QemuConfig['sockets'] & { dir: string };
  /** when the runner ends without `stop`: QEMU dies by itself, its sockets would stay */
  readonly #atExit = () => {
    rmSync(this.#sockets.dir, { recursive: true, force: true });
    this.#releaseDir();
  };
  readonly #releaseDir: () => void;
  #shell: Promise<Shell> | undefined;
  #stopping: Promise<'clean' | 'quit' | 'killed'> | undefined;

  private constructor(parts: {
    options: MachineOptions;
    console: ConsoleLog;
    hostApi: HostApi;
    config: QemuConfig;
    qemu: QemuProcess;
    socketDir: string;
    release: () => void;
    startedAt: number;
    vsock: VsockDevice | undefined;
    shell: Shell | undefined;
  }) {
    this.options = parts.options;
    this.console = parts.console;
    this.hostApi = parts.hostApi;
    this.forwards = parts.config.forwards;
    this.accelerator = parts.config.accelerator;
    this.#process = parts.qemu;
    this.#sockets = { ...parts.config.sockets, dir: parts.socketDir };
    this.#releaseDir = parts.release;
    this.startedAt = parts.startedAt;
    this.vsock = parts.vsock;
    if (parts.shell) this.#shell = Promise.resolve(parts.shell);
    process.once('exit', this.#atExit);
  }

  /** Starts a VM; returns when its first program runs, when a frozen guest runs again, or when QEMU has ended. */
  static async boot(given: MachineOptions): Promise<Machine> {
    const vsockUrl = given.vsock ? { host_api_url: VSOCK_HOST_API_URL } : {};
    const options = { ...given, sysConfig: { ...vsockUrl, ...given.sysConfig } };
    await loadTools();
    const release = claim(options.dir);
    const accelerator = await chooseAccelerator(options.image.kernel);
    const socketDir = freshSocketDir(options.dir);
    // the name under which a vsock device looks for it; a guest without vsock gets to it all the same
    const hostApiSocket = `${socketDir}/vsock_${HOST_API_PORT}`;
    const sockets = { qmp: `${socketDir}/qmp`, shell: `${socketDir}/shell`, hostApi: hostApiSocket };
    const hostApi = new HostApi({ name: 'dstack-util runner' });
    if (options.onEvent) hostApi.on('event', options.onEvent);
    hostApi.on('event', ({ event, payload }) => {
      if (options.rememberInstance && event === 'instance.info') writeFileSync(instanceFile(options.dir), payload);
    });
    const console = new ConsoleLog(join(options.dir, 'console.log'));
    if (options.onLine) console.watch(options.onLine);
    let vsock: VsockDevice | undefined;
    try {
      await hostApi.listen({ path: sockets.hostApi });
      if (options.vsock) {
        const program = vsockDevice();
        if (program === undefined) throw new Error('this host has no vhost-device-vsock');
        vsock = await VsockDevice.start(program, `${socketDir}/vhost`, `${socketDir}/vsock`);
      }
      const disks = await prepareDisks(options);
      const config: QemuConfig = {
        accelerator,
        cpus: options.cpus ?? DEFAULT_CPUS,
        memoryMiB: options.memoryMiB ?? DEFAULT_MEMORY_MIB,
        kernel: options.image.kernel,
        initrd: options.image.initrd,
        cmdline: [
          options.image.cmdline,
          ...(options.thaw ? [NOTHING_STARTED] : []),
          ...(options.kernelArgs ?? []),
        ].join(' '),
        disks,
        ...(options.shareMode === '9p' ? { share9p: shareFolder(options.dir) } : {}),
        forwards: await chooseForwards(options.guestPorts ?? [8090, 8080], options.forwards),
        network: options.network ?? 'host',
        services: options.services ?? [],
        sockets,
        ...(options.hostile === undefined ? {} : { hostile: options.hostile }),
        ...(vsock === undefined ? {} : { vsock: `${socketDir}/vhost` }),
      };
      const startedAt = Date.now();
      const { qemu, shell } = await start(options, config, console, [options.dir, socketDir]);
      return new Machine({ options, console, hostApi, config, qemu, socketDir, release, startedAt, vsock, shell });
    } catch (thrown) {
      vsock?.close();
      await hostApi.close();
      rmSync(socketDir, { recursive: true, force: true });
      release();
      throw thrown;
    }
  }

  /** everything the guest has told the host */
  get events(): readonly HostEvent[] {
    return this.hostApi.events;
  }

  get ended(): Ended | undefined {
    return this.#process.ended;
  }

  /** Waits for an event, also a past one; fails at once when it can no longer come. */
  async waitFor(match: EventMatch, timeoutMs = 180_000): Promise<HostEvent> {
    const guest = { hostApi: this.hostApi, console: this.console, exited: this.#process.exited };
    return waitForEvent(guest, match, timeoutMs).catch((thrown) => {
      throw this.failure(thrown);
    });
  }

  /** Waits until the VM has ended. */
  async waitExit(timeoutMs = POWEROFF_MS): Promise<Ended> {
    return within(timeoutMs, 'end of the VM', this.#process.exited).catch((thrown) => {
      throw this.failure(thrown);
    });
  }

  /** Runs a bash script in the guest and returns its outcome, whatever its exit status. */
  async sh(script: string, options: { timeoutMs?: number } = {}): Promise<ShellResult> {
    try {
      this.#shell ??= retry('shell of the VM', () => Shell.open(this.#sockets.shell), {
        timeoutMs: 30_000,
        abandon: () => (this.ended ? 'the VM has ended' : undefined),
      });
      return await (await this.#shell).run(script, options.timeoutMs ?? 60_000);
    } catch (thrown) {
      throw this.failure(thrown);
    }
  }

  /** Runs a bash script that must succeed; returns its stdout without the final newline. */
  async ok(script: string, options: { timeoutMs?: number } = {}): Promise<string> {
    const { exit, stdout, stderr } = await this.sh(script, options);
    if (exit !== 0) throw this.failure(new Error(`\`${script.trim()}\` in the VM: exit ${exit}\n${stderr || stdout}`));
    return stdout.replace(/\n$/, '');
  }

  /** Address of a guest port on this host. */
  url(path = '/', guestPort = 8090): string {
    const forward = this.forwards.find(({ guest }) => guest === guestPort);
    if (!forward) throw new Error(`guest port ${guestPort} is not forwarded`);
    return `http://127.0.0.1:${forward.host}${path}`;
  }

  /** GET (or POST with a body) on a guest port, default the agent's 8090. */
  get(path: string, options: { port?: number; body?: string; timeoutMs?: number } = {}): Promise<HttpAnswer> {
    return ask(this.url(path, options.port), options);
  }

  /** `get`, repeated until the status is 200. */
  getWhenReady(path: string, options: { port?: number; timeoutMs?: number } = {}): Promise<HttpAnswer> {
    const abandon = () => (this.ended ? 'the VM has ended' : undefined);
    return askUntilReady(this.url(path, options.port), { timeoutMs: options.timeoutMs ?? 60_000, abandon }).catch(
      (thrown) => {
        throw this.failure(thrown);
      },
    );
  }

  /** Replaces the host share of the running VM; the guest sees it when it mounts the disk the next time. */
  async reshare(files: ShareFiles): Promise<void> {
    await prepareShare({ ...this.options, share: files });
  }

  /** An error that carries the end of the console. */
  failure(thrown: unknown): Error {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    if (message.includes('--- console')) return thrown as Error;
    const tail = this.console.tail(CONSOLE_TAIL).join('\n');
    return new Error(`${message}\n--- console (${this.console.file})\n${tail}`, { cause: thrown });
  }

  /** Powers the guest off; each stronger means has its own limit. Returns what it took. */
  stop(): Promise<'clean' | 'quit' | 'killed'> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Ends QEMU at once. */
  async kill(): Promise<void> {
    this.#process.kill();
    await this.#process.exited;
  }

  async #stop(): Promise<'clean' | 'quit' | 'killed'> {
    try {
      if (this.ended) return 'clean';
      // a moment later, so that the shell can still answer; that QEMU ends is an answer too
      const later = "setsid -f sh -c 'sleep 0.5; exec systemctl poweroff --no-wall --no-block'";
      const asked = this.sh(later, { timeoutMs: 15_000 }).then(
        ({ exit }) => exit === 0,
        () => this.ended !== undefined,
      );
      const agreed = await Promise.race([asked, this.#process.exited.then(() => true)]);
      if (agreed && (await this.#exits(POWEROFF_MS))) return 'clean';
      const quit = await Qmp.open(this.#sockets.qmp, 2000).catch(() => undefined);
      quit?.execute('quit', {}, 3000).catch(() => {}); // QEMU may close the socket before it answers
      if (quit && (await this.#exits(5000))) return 'quit';
      this.#process.kill();
      await this.#exits(5000);
      return 'killed';
    } finally {
      await this.#release();
    }
  }

  #exits(timeoutMs: number): Promise<boolean> {
    return within(timeoutMs, 'exit', this.#process.exited).then(
      () => true,
      () => false,
    );
  }

  async #release(): Promise<void> {
    (await this.#shell?.catch(() => undefined))?.close();
    this.vsock?.close();
    await this.hostApi.close();
    await this.console.close();
    process.off('exit', this.#atExit);
    this.#atExit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
