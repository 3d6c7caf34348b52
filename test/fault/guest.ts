/** A running guest without a disk: run scripts in it, plug the disk in, take the power away. */
import { rmSync } from 'node:fs';
import type { ConsoleLog } from '../../initramfs/vm/console.ts';
import type { QemuProcess } from '../../initramfs/vm/process.ts';
import { Qmp } from '../../initramfs/vm/qmp.ts';
import { Shell, type ShellResult } from '../../initramfs/vm/shell.ts';
import { retry } from '../../initramfs/vm/wait.ts';

export class Guest {
  readonly console: ConsoleLog;
  readonly #qemu: QemuProcess;
  readonly #sockets: string;
  readonly #qmp: Qmp;
  readonly #shell: Shell;

  private constructor(qemu: QemuProcess, console: ConsoleLog, sockets: string, qmp: Qmp, shell: Shell) {
    this.#qemu = qemu;
    this.console = console;
    this.#sockets = sockets;
    this.#qmp = qmp;
    this.#shell = shell;
  }

  /** Takes over a QEMU that boots, or one that loads a frozen guest. */
  static async connect(qemu: QemuProcess, console: ConsoleLog, sockets: string): Promise<Guest> {
    const wait = {
      timeoutMs: 60_000,
      pauseMs: 20,
      abandon: () => (qemu.ended ? `QEMU has ended\n${console.tail().join('\n')}` : undefined),
    };
    const qmp = await retry('QEMU', () => Qmp.open(`${sockets}/qmp`), wait);
    // before the guest runs: the port was connected when it was frozen, so its shell sees no difference and goes on
    const shell = await retry('shell of the VM', () => Shell.open(`${sockets}/shell`), wait);
    const runs = async () => {
      const { status } = (await qmp.execute('query-status')) as { status: string };
      if (status === 'paused' || status === 'postmigrate') await qmp.execute('cont');
      return status === 'running' ? true : undefined;
    };
    await retry('the guest to run', runs, wait);
    return new Guest(qemu, console, sockets, qmp, shell);
  }

  /** True when QEMU has ended, whatever the reason. */
  get ended(): boolean {
    return this.#qemu.ended !== undefined;
  }

  /** Runs a script. */
  sh(script: string, timeoutMs = 180_000): Promise<ShellResult> {
    return this.#shell.run(script, timeoutMs);
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

  /** The power is gone. What the guest had said until then has arrived when this returns. */
  async kill(): Promise<void> {
    this.#qemu.kill();
    await this.#qemu.exited;
    this.#shell.close();
    this.#qmp.close();
    await this.console.close();
    rmSync(this.#sockets, { recursive: true, force: true });
  }
}
