/** ext4 on the data disk (dstack boot order, file systems). */
import { DstackError, errorChain } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import { makeDir } from '../sys/files.ts';
import * as ui from '../ui.ts';
import type { DiskMachine } from './disk-machine.ts';
import { mendSuperblock } from './ext4-superblock.ts';

const TIMEOUT_MS = 3_600_000;

/** e2fsck(8): 0 clean, 1 errors corrected. 2 would need a reboot; 4 and above are not repaired. */
const CHECK_OK = [0, 1];

/** Makes a file system on an empty device and mounts it. @throws FS_CREATE_FAILED, FS_MOUNT_FAILED */
export async function createExt4(device: string, mountPoint: string, machine: DiskMachine): Promise<void> {
  await machine.run('mkfsExt4', ['-q', '-F', device], { code: 'FS_CREATE_FAILED', timeoutMs: TIMEOUT_MS });
  await mount(device, mountPoint, machine);
}

/**
 * Checks, mounts and grows a file system. A superblock that a power cut tore is repaired first: e2fsck -p does not.
 * @throws FS_CHECK_FAILED when e2fsck leaves anything unrepaired, FS_MOUNT_FAILED
 */
export async function mountExt4(device: string, mountPoint: string, machine: DiskMachine): Promise<void> {
  if (!isDryRun()) await mend(device, machine);
  const { exit, stdout } = await machine.run('e2fsck', ['-f', '-p', device], {
    ok: Array.from({ length: 256 }, (_, status) => status),
    timeoutMs: TIMEOUT_MS,
  });
  if (!CHECK_OK.includes(exit)) {
    throw new DstackError('FS_CHECK_FAILED', `e2fsck -p does not repair ${device} (exit status ${exit})`, {
      path: device,
      cause: stdout.trim() || undefined,
    });
  }
  await mount(device, mountPoint, machine);
  try {
    // mounted, the kernel grows it, through the journal. resize2fs alone writes the resize inode before the superblock: a
    // power cut in between leaves what e2fsck -p refuses
    await machine.run('resize2fs', [device], { code: 'FS_MOUNT_FAILED', timeoutMs: TIMEOUT_MS });
  } catch (thrown) {
    await machine.run('umount', [mountPoint]).catch(() => {}); // the first error is the one to tell
    throw thrown;
  }
}

/** Waits until everything written is on the disk. */
export async function syncExt4(mountPoint: string, machine: DiskMachine): Promise<void> {
  await machine.run('sync', ['--file-system', mountPoint], { timeoutMs: TIMEOUT_MS });
}

/** What cannot be written is told by e2fsck, in the words of everything else that is wrong with the device. */
async function mend(device: string, machine: DiskMachine): Promise<void> {
  try {
    if (await mendSuperblock(device, machine)) ui.warn(`${device}: a power cut tore the superblock, it is repaired`);
  } catch (thrown) {
    ui.warn(`${device}: a power cut tore the superblock, and it cannot be repaired: ${errorChain(thrown)}`);
  }
}

async function mount(device: string, mountPoint: string, machine: DiskMachine): Promise<void> {
  await makeDir(mountPoint);
  await machine.run('mount', ['-t', 'ext4', device, mountPoint], { code: 'FS_MOUNT_FAILED' });
}
