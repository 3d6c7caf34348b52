/** Thawing: a frozen guest gets the clock, the kernel command line and the disks of the VM that it becomes. */
import type { ConsoleLog } from './console.ts';
import { connect } from './freeze.ts';
import { QemuProcess } from './process.ts';
import { type Disk, diskPort, type QemuConfig, qemuArgv } from './qemu.ts';
import type { Qmp } from './qmp.ts';
import type { Shell } from './shell.ts';

const STEP_MS = 60_000;

export interface Thawed {
  readonly qemu: QemuProcess;
  /** QEMU's port takes one connection, and this is it */
  readonly shell: Shell;
}

/**
 * Starts QEMU with the frozen guest.
 * @param config of the VM with `frozen` set; its disks behind the first one are plugged in one after the other, because
 *   their order gives them their names
 * @param words for the kernel command line as the guest's programs read it; the kernel itself has started already
 */
export async function thaw(
  config: QemuConfig,
  words: readonly string[],
  console: ConsoleLog,
  binds: string[],
): Promise<Thawed> {
  const qemu = QemuProcess.start(qemuArgv({ ...config, freezable: true }), console, binds);
  try {
    const { qmp, shell } = await connect(qemu, console, config.sockets);
    await script(shell, `date -s @${(Date.now() / 1000).toFixed(3)}`);
    if (words.length > 0) {
      const more = `sed 's/$/ ${words.join(' ').replaceAll(/[\\/&']/g, '\\$&')}/' /proc/cmdline >/run/cmdline`;
      await script(shell, `${more}\nmount --bind /run/cmdline /proc/cmdline`);
    }
    for (const [index, disk] of config.disks.slice(1).entries()) await plug(qmp, shell, disk, index + 1);
    qmp.close();
    await script(shell, 'udevadm settle');
    return { qemu, shell };
  } catch (thrown) {
    qemu.kill();
    await qemu.exited;
    throw thrown;
  }
}

/** Plugs a disk in and waits until the guest has it: index 1 is /dev/vdb. */
async function plug(qmp: Qmp, shell: Shell, { file, readOnly = false }: Disk, index: number): Promise<void> {
  const id = `disk${index}`;
  // as `-drive cache=unsafe,discard=unmap` of a booted VM
  const cache = readOnly ? {} : { cache: { 'no-flush': true }, discard: 'unmap' };
  await qmp.execute('blockdev-add', {
    driver: 'raw',
    'node-name': id,
    'read-only': readOnly,
    ...cache,
    file: { driver: 'file', filename: file, 'read-only': readOnly, ...cache },
  });
  await qmp.execute('device_add', { driver: 'virtio-blk-pci', id: `blk${index}`, drive: id, bus: diskPort(index) });
  const name = `/dev/vd${String.fromCharCode('a'.charCodeAt(0) + index)}`;
  await script(shell, `for i in $(seq 300); do [ -b ${name} ] && exit; sleep 0.1; done; exit 1`);
}

async function script(shell: Shell, text: string): Promise<void> {
  const { exit, stdout, stderr } = await shell.run(text, STEP_MS);
  if (exit !== 0) throw new Error(`\`${text}\` in the thawed guest: exit ${exit}\n${stderr || stdout}`);
}
