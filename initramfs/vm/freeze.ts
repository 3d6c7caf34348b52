/**
 * A guest that is booted once, frozen into a file, and thawed where nothing of a boot matters: thawing takes seconds, a
 * boot under software emulation up to minutes. It is frozen when its file systems are there and before anything else
 * has started. What it has seen of a host by then: the root disk, processors and memory, an idle network card, and the
 * name of a 9p share.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, hashFile, keyOf, projectRoot, prune } from '../lib/cache.ts';
import { loadTools } from '../lib/tools.ts';
import { ConsoleLog } from './console.ts';
import { startPastEarlyAbort } from './early-abort.ts';
import { QemuProcess } from './process.ts';
import { type QemuConfig, qemuArgv } from './qemu.ts';
import { Qmp } from './qmp.ts';
import { Shell } from './shell.ts';
import { retry } from './wait.ts';

/** No more of the system than its file systems, its device nodes and a shell. */
export const NOTHING_STARTED = 'systemd.unit=sysinit.target';

/** Programs and libraries that every test needs stay in the page cache and are frozen too. */
const WARM_UP = [
  'until systemctl is-active -q sysinit.target; do sleep 0.5; done',
  'while systemctl list-jobs --no-legend | grep -q .; do sleep 0.5; done',
  'udevadm settle; dstack-util --version',
].join('\n');
const WARM_UP_MS = 400_000;
const KEPT = 4;
/** What decides how a machine is frozen and thawed. */
const SOURCES = ['initramfs/vm/qemu.ts', 'initramfs/vm/freeze.ts', 'initramfs/vm/thaw.ts'];

/**
 * The file of the frozen guest that belongs to this configuration; boots and freezes it unless that was done before.
 * Of the configuration only image, processors, memory and the sockets are looked at.
 * @param imageHash names kernel, initramfs and root
 * @param place folder for the console and the name of the 9p share
 */
export async function ensureFrozen(config: QemuConfig, imageHash: string, place: string): Promise<string> {
  const tools = await loadTools();
  // another version of QEMU may not read the file
  const { size, mtimeMs } = await stat(join(tools.dir, 'usr/bin/qemu-system-x86_64'));
  const sources = await Promise.all(SOURCES.map((path) => hashFile(join(projectRoot, path))));
  const machine = [config.accelerator, config.cpus, config.memoryMiB, config.cmdline];
  const key = keyOf('guest 1', tools.key, size, mtimeMs, imageHash, machine, sources);
  const dir = await cached('guests', key, async (temp) => {
    const [root] = config.disks;
    if (root === undefined) throw new Error('a guest without a root disk cannot be frozen');
    const bare: QemuConfig = { ...config, disks: [root], forwards: [], services: [], freezable: true };
    const console = new ConsoleLog(join(place, 'frozen-console.log'));
    const start = () => QemuProcess.start(qemuArgv(bare), console, [place, temp]);
    const qemu = await startPastEarlyAbort(start, console);
    try {
      const { qmp, shell } = await connect(qemu, console, config.sockets);
      const { exit, stderr } = await shell.run(WARM_UP, WARM_UP_MS);
      if (exit !== 0) throw new Error(`the guest cannot be warmed up: ${stderr}`);
      await freeze(qmp, join(temp, 'machine'));
    } finally {
      qemu.kill();
      await qemu.exited;
      await console.close();
    }
  });
  await prune('guests', KEPT);
  return join(dir, 'machine');
}

/**
 * Takes over a QEMU that boots, or one that loads a frozen guest, and lets the guest run. The shell is connected before:
 * it was connected when the guest was frozen, so the guest sees no difference.
 */
export async function connect(
  qemu: QemuProcess,
  console: ConsoleLog,
  sockets: Pick<QemuConfig['sockets'], 'qmp' | 'shell'>,
): Promise<{ qmp: Qmp; shell: Shell }> {
  const wait = {
    timeoutMs: 60_000,
    pauseMs: 20,
    abandon: () => (qemu.ended ? `QEMU has ended\n${console.tail().join('\n')}` : undefined),
  };
  const qmp = await retry('QEMU', () => Qmp.open(sockets.qmp), wait);
  const shell = await retry('shell of the VM', () => Shell.open(sockets.shell), wait);
  const runs = async () => {
    const { status } = (await qmp.execute('query-status')) as { status: string };
    if (status === 'paused' || status === 'postmigrate') await qmp.execute('cont');
    return status === 'running' ? true : undefined;
  };
  await retry('the guest to run', runs, wait);
  return { qmp, shell };
}

/** Writes the whole machine, which stops, into a file. */
export async function freeze(qmp: Qmp, file: string): Promise<void> {
  await qmp.execute('stop');
  await qmp.execute('migrate-set-parameters', { 'max-bandwidth': 8 * 1024 ** 3 });
  await qmp.execute('migrate', { uri: `file:${file}` });
  const done = async () => {
    const { status } = (await qmp.execute('query-migrate')) as { status?: string };
    if (status === 'failed') throw new Error('QEMU cannot freeze the guest');
    return status === 'completed' ? true : undefined;
  };
  await retry('freezing', done, { timeoutMs: 120_000, pauseMs: 100 });
}
