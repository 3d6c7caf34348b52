/** Waiting for device nodes: udev makes them some time after the kernel announced the device. */
import { DstackError } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import type { DiskMachine } from './disk-machine.ts';

const PAUSE_MS = 50;
const TIMEOUT_MS = 10_000;

/**
 * Lets udev work off its queue (so that it does not take a node away again), then waits for the node itself.
 * @throws DISK_NOT_FOUND when it has not appeared within 10 s
 */
export async function waitForNode(path: string, machine: DiskMachine, timeoutMs = TIMEOUT_MS): Promise<void> {
  await settle(machine);
  await nodeAppears(path, machine, timeoutMs);
}

/** Waits for the node alone: for nodes that nothing takes away again. @throws DISK_NOT_FOUND after 10 s */
export async function nodeAppears(path: string, machine: DiskMachine, timeoutMs = TIMEOUT_MS): Promise<void> {
  if (isDryRun()) return;
  for (const end = Date.now() + timeoutMs; !(await machine.isBlockDevice(path)); ) {
    if (Date.now() >= end) {
      throw new DstackError('DISK_NOT_FOUND', `device ${path} did not appear within ${timeoutMs / 1000} s`, { path });
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

/** `udevadm settle`, bounded. Its failure is not an error: a system without udev has its nodes from devtmpfs at once. */
export async function settle(machine: DiskMachine): Promise<void> {
  try {
    await machine.run('udevadm', ['settle', '--timeout=5'], { timeoutMs: 10_000, ok: [0, 1] });
  } catch {}
}
