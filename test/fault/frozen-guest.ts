/**
 * A guest that is booted once, frozen into a file, and thawed for every trial: the kernel and the binary under test as
 * they are right after boot, no disk attached yet. A trial costs seconds instead of a whole boot under emulation.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { loadTools } from '../../initramfs/lib/tools.ts';
import { chooseAccelerator } from '../../initramfs/vm/accelerator.ts';
import { ConsoleLog } from '../../initramfs/vm/console.ts';
import { startPastEarlyAbort } from '../../initramfs/vm/early-abort.ts';
import type { BootImage } from '../../initramfs/vm/machine-options.ts';
import { QemuProcess } from '../../initramfs/vm/process.ts';
import { type QemuConfig, qemuArgv } from '../../initramfs/vm/qemu.ts';
import { Qmp } from '../../initramfs/vm/qmp.ts';
import { Shell, type ShellResult } from '../../initramfs/vm/shell.ts';
import { retry } from '../../initramfs/vm/wait.ts';

const MEMORY_MIB = 1024;
/** what a trial needs loaded; the calls bring programs and libraries into the page cache, which is frozen too */
const WARM_UP = [
  'modprobe -a zfs virtio_scsi sd_mod dm-crypt xts ext4 aesni-intel',
  'dstack-util fde open --help >/dev/null; dstack-util fde status --device /dev/none 2>/dev/null',
  'key=$(printf 11%.0s $(seq 32))',
  'for fs in ext4 zfs; do',
  '  truncate -s 64M /run/warm; loop=$(losetup -P -f --show /run/warm)',
  '  for i in 1 2; do',
  '    echo $key | dstack-util fde open --create --device $loop --key-file - --fs $fs --mount-point /run/m',
  '    dstack-util fde close --mount-point /run/m',
  '  done',
  '  losetup -d $loop; rm /run/warm',
  'done; sync',
].join('\n');

export class FrozenGuest {
  readonly #image: BootImage;
  readonly #dir: string;
  readonly #accelerator: 'kvm' | 'tcg';
  #count = 0;

  private constructor(image: BootImage, dir: string, accelerator: 'kvm' | 'tcg') {
    this.#image = image;
    this.#dir = dir;
    this.#accelerator = accelerator;
  }

  /** Boots and freezes. */
  static async make(image: BootImage, dir: string): Promise<FrozenGuest> {
    await loadTools();
    mkdirSync(dir, { recursive: true });
    const frozen = new FrozenGuest(image, dir, await chooseAccelerator(image.kernel));
    const guest = await frozen.#start(false);
    try {
      const { exit, stderr } = await guest.sh(WARM_UP, 300_000);
      if (exit !== 0) throw new Error(`the guest cannot be warmed up: ${stderr}`);
      await guest.freeze(frozen.#file);
    } finally {
      await guest.kill();
    }
    return frozen;
  }

  get #file(): string {
    return join(this.#dir, 'frozen');
  }

  /** A running guest, as it was when it was frozen. */
  thaw(): Promise<Guest> {
    return this.#start(true);
  }

  /** Removes the file. */
  discard(): void {
    rmSync(this.#file, { force: true });
  }

  async #start(thaw: boolean): Promise<Guest> {
    const sockets = join('/tmp', `dstack-fault-${process.pid}-${this.#count++}`);
    mkdirSync(sockets, { mode: 0o700 });
    const config: QemuConfig = {
      accelerator: this.#accelerator,
      cpus: 2,
      memoryMiB: MEMORY_MIB,
      kernel: this.#image.kernel,
      initrd: this.#image.initrd,
      cmdline: `${this.#image.cmdline} systemd.unit=sysinit.target`,
      disks: [{ file: this.#image.root, readOnly: true }],
      forwards: [],
      network: 'host',
      sockets: { qmp: `${sockets}/qmp`, shell: `${sockets}/shell`, hostApi: `${sockets}/none` },
    };
    const argv = [...qemuArgv(config), '-device', 'virtio-scsi-pci,id=scsi0'];
    if (thaw) argv.push('-incoming', `file:${this.#file}`);
    const console = new ConsoleLog(join(this.#dir, 'console.log'));
    const start = () => QemuProcess.start(argv, console, [this.#dir, sockets]);
    const qemu = thaw ? start() : await startPastEarlyAbort(start, console);
    return Guest.connect(qemu, console, sockets);
  }
}

export class Guest {
  readonly #qemu: QemuProcess;
  readonly console: ConsoleLog;
  readonly #sockets: string;
  readonly #qmp: Qmp;
  #shell: Shell | undefined;

  private constructor(qemu: QemuProcess, console: ConsoleLog, sockets: string, qmp: Qmp) {
    this.#qemu = qemu;
    this.console = console;
    this.#sockets = sockets;
    this.#qmp = qmp;
  }

  static async connect(qemu: QemuProcess, console: ConsoleLog, sockets: string): Promise<Guest> {
    const abandon = () => (qemu.ended ? 'QEMU has ended' : undefined);
    const qmp = await retry('QEMU', () => Qmp.open(`${sockets}/qmp`), { timeoutMs: 30_000, abandon });
    const guest = new Guest(qemu, console, sockets, qmp);
    const running = async () => {
      const { status } = (await qmp.execute('query-status')) as { status: string };
      return status === 'running' ? true : undefined;
    };
    await retry('the guest to run', running, { timeoutMs: 60_000, pauseMs: 50, abandon });
    return guest;
  }

  /** Runs a script. */
  async sh(script: string, timeoutMs = 120_000): Promise<ShellResult> {
    this.#shell ??= await this.#openShell();
    return this.#shell.run(script, timeoutMs);
  }

  /** The shell that was frozen ends when it sees another host; its successor answers. */
  async #openShell(): Promise<Shell> {
    const shell = await retry('shell', () => Shell.open(`${this.#sockets}/shell`), { timeoutMs: 30_000 });
    for (let attempt = 0; attempt < 40; attempt++) {
      const answer = await Promise.race([
        shell.run('true', 4000).catch(() => undefined),
        new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 4000)),
      ]);
      if (answer?.exit === 0) return shell;
      if (this.#qemu.ended) break;
    }
    throw new Error('the shell of the guest does not answer');
  }

  /** Plugs in a disk served over NBD: /dev/sda. */
  async attach(socket: string): Promise<void> {
    await this.#qmp.execute('blockdev-add', {
      driver: 'raw',
      'node-name': 'data',
      file: { driver: 'nbd', server: { type: 'unix', path: socket } },
    });
    await this.#qmp.execute('device_add', { driver: 'scsi-hd', id: 'data', drive: 'data', bus: 'scsi0.0' });
  }

  /** Writes the whole machine into a file. */
  async freeze(file: string): Promise<void> {
    await this.#qmp.execute('stop');
    await this.#qmp.execute('migrate-set-parameters', { 'max-bandwidth': 8 * 1024 ** 3 });
    await this.#qmp.execute('migrate', { uri: `file:${file}` });
    const done = async () => {
      const { status } = (await this.#qmp.execute('query-migrate')) as { status?: string };
      if (status === 'failed') throw new Error('QEMU cannot freeze the guest');
      return status === 'completed' ? true : undefined;
    };
    await retry('freezing', done, { timeoutMs: 120_000, pauseMs: 100 });
  }

  /** The power is gone. */
  async kill(): Promise<void> {
    this.#qemu.kill();
    await this.#qemu.exited;
    this.#shell?.close();
    this.#qmp.close();
    await this.console.close();
    rmSync(this.#sockets, { recursive: true, force: true });
  }
}
