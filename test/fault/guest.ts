/** A running guest without a disk: run scripts in it, plug the disk in, take the power away. */
import { rmSync } from 'node:fs';
import type { ConsoleLog } from '../../initramfs/vm/console.ts';
import { connect, freeze } from '../../initramfs/vm/freeze.ts';
import type { QemuProcess } from '../../initramfs/vm/process.ts';
import type { Qmp } from '../../initramfs/vm/qmp.ts';
import type { Shell, ShellResult } from '../../initramfs/vm/shell.ts';

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
    const { qmp, shell } = await connect(qemu, console, { qmp: `${sockets}/qmp`, shell: `${sockets}/shell` });
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
  freeze(file: string): Promise<void> {
    return freeze(this.#qmp, file);
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
