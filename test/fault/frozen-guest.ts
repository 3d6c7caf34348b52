/**
 * A guest that is booted once, frozen into a file, and thawed for every trial: kernel and binary under test as they are
 * right after boot, no disk attached yet. A trial costs seconds instead of a whole boot under software emulation.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { cached, hashFile, keyOf, projectRoot, prune } from '../../initramfs/lib/cache.ts';
import { loadTools } from '../../initramfs/lib/tools.ts';
import { chooseAccelerator } from '../../initramfs/vm/accelerator.ts';
import { ConsoleLog } from '../../initramfs/vm/console.ts';
import { startPastEarlyAbort } from '../../initramfs/vm/early-abort.ts';
import type { BootImage } from '../../initramfs/vm/machine-options.ts';
import { QemuProcess } from '../../initramfs/vm/process.ts';
import { type QemuConfig, qemuArgv } from '../../initramfs/vm/qemu.ts';
import type { FileSystem } from '../../src/config/storage-options.ts';
import { Guest } from './guest.ts';

const MEMORY_MIB = 640;
/** No more of the system than a shell and the manager of device nodes. */
const FEW_UNITS = 'systemd.unit=dstack-dev-shell.service systemd.wants=systemd-udevd.service';

/** Loads what a trial needs: modules, programs and libraries, which stay in the page cache and are frozen too. */
const warmUp = (fs: FileSystem): string =>
  [
    'mountpoint -q /tmp || mount -t tmpfs tmpfs /tmp',
    `modprobe -a loop virtio_scsi sd_mod dm-crypt xts aesni-intel ${fs}`,
    'truncate -s 96M /run/warm; loop=$(losetup -P -f --show /run/warm)',
    `echo ${'11'.repeat(32)} | dstack-util fde open --create --device $loop --key-file - --fs ${fs} --mount-point /run/m`,
    'opened=$?; dstack-util fde close --mount-point /run/m',
    'losetup -d $loop; rm /run/warm; sync; exit $opened',
  ].join('\n');

export class FrozenGuest {
  readonly #image: BootImage;
  readonly #accelerator: 'kvm' | 'tcg';
  readonly #dir: string;
  #file = '';
  #count = 0;

  private constructor(image: BootImage, accelerator: 'kvm' | 'tcg', dir: string) {
    this.#image = image;
    this.#accelerator = accelerator;
    this.#dir = dir;
  }

  /** Boots and freezes, unless this was done before with this image and file system. `dir` is for the console. */
  static async make(image: BootImage, fs: FileSystem, dir: string): Promise<FrozenGuest> {
    const tools = await loadTools();
    mkdirSync(dir, { recursive: true });
    const accelerator = await chooseAccelerator(image.kernel);
    const frozen = new FrozenGuest(image, accelerator, dir);
    const sources = ['test/fault/frozen-guest.ts', 'initramfs/vm/qemu.ts', 'initramfs/vm/freeze.ts'].map((path) =>
      join(projectRoot, path),
    );
    const hashes = await Promise.all(sources.map(hashFile));
    const key = keyOf('frozen 2', tools.key, image.name, accelerator, fs, hashes);
    const made = await cached('frozen', key, async (temp) => {
      const guest = await frozen.#start([temp]);
      try {
        const { exit, stderr } = await guest.sh(warmUp(fs), 400_000);
        if (exit !== 0) throw new Error(`the guest cannot be warmed up: ${stderr}`);
        await guest.freeze(join(temp, 'machine'));
      } finally {
        await guest.kill();
      }
    });
    frozen.#file = join(made, 'machine');
    await prune('frozen', 2);
    return frozen;
  }

  /** A running guest, as it was when it was frozen. */
  thaw(): Promise<Guest> {
    return this.#start([]);
  }

  async #start(binds: string[]): Promise<Guest> {
    const sockets = join('/tmp', `dstack-fault-${process.pid}-${this.#count++}`);
    mkdirSync(sockets, { mode: 0o700 });
    const config: QemuConfig = {
      accelerator: this.#accelerator,
      cpus: 1,
      memoryMiB: MEMORY_MIB,
      kernel: this.#image.kernel,
      initrd: this.#image.initrd,
      cmdline: `${this.#image.cmdline} ${FEW_UNITS}`,
      disks: [{ file: this.#image.root, readOnly: true }],
      forwards: [],
      network: 'host',
      sockets: { qmp: `${sockets}/qmp`, shell: `${sockets}/shell`, hostApi: `${sockets}/none` },
    };
    const thaw = this.#file !== '';
    const argv = [
      ...qemuArgv(config),
      ...['-device', 'virtio-scsi-pci,id=scsi0'],
      // a new generation id in each life: the kernel mixes new random numbers when it is thawed
      ...['-device', 'vmgenid,guid=auto'],
      ...(thaw ? ['-incoming', `file:${this.#file}`] : []),
    ];
    const console = new ConsoleLog(join(this.#dir, 'console.log'));
    const start = () => QemuProcess.start(argv, console, [this.#dir, sockets, ...binds]);
    const qemu = thaw ? start() : await startPastEarlyAbort(start, console);
    try {
      return await Guest.connect(qemu, console, sockets);
    } catch (thrown) {
      qemu.kill();
      throw thrown;
    }
  }
}
