/** `fde`: the encrypted data disk by hand. Boot does the same through `setup`. */
import type { Command } from 'commander';
import { hostShared, PATHS } from '../config/paths.ts';
import { DstackError } from '../errors.ts';
import * as ui from '../ui.ts';
import { offering } from './offered-values.ts';

interface VolumeOptions {
  device: string;
  keyFile: string;
  fs: string;
  mountPoint: string;
}

export default function define(command: Command): void {
  command.helpCommand(false);
  command
    .command('status')
    .description('print what the data disk holds')
    .option('--device <device>', 'device to look at (default: what a boot would take)')
    .option('--json', 'print as JSON')
    .action(async (options: { device?: string; json?: boolean }) => {
      const { diskStatus, realDiskMachine, statusText } = await import('../fde/fde.ts');
      const status = await diskStatus(options.device, realDiskMachine);
      ui.result(status, { json: options.json, text: () => statusText(status) });
    });

  volumeOptions(command.command('format'))
    .description('make an encrypted volume on a blank disk; refuses anything else')
    .addHelpText(
      'after',
      '\nA whole blank disk gets a partition named dstack-data. The volume is closed again afterwards.' +
        '\nAn interrupted format is started over; a finished volume of the same key is left as it is.',
    )
    .action(async (options: VolumeOptions) => {
      const fde = await import('../fde/fde.ts');
      const machine = fde.realDiskMachine;
      await withKey(options, async (key) => {
        await fde.refuseOpenMapping(options.device, machine); // before a partition is made
        const { device } = await fde.namedDataDevice(options.device, machine);
        const { action } = await fde.formatDataDisk({ ...volume(options), device, key }, machine);
        await fde.closeDataDisk({ mountPoint: options.mountPoint }, machine);
        const made = action === 'mounted' ? 'is there already, nothing was changed' : 'made';
        ui.info(`${device}: encrypted ${options.fs} volume ${made}`);
      });
    });

  volumeOptions(command.command('open'))
    .description('open an encrypted volume and mount it; never formats unless told to')
    .option('--create', 'make the volume first if the disk is blank, as a boot does')
    .action(async (options: VolumeOptions & { create?: boolean }) => {
      const fde = await import('../fde/fde.ts');
      const machine = fde.realDiskMachine;
      await withKey(options, async (key) => {
        if (options.create) {
          const { device } = await fde.namedDataDevice(options.device, machine);
          await fde.growPartition(device, machine);
          const open = (await fde.isOpen(device, machine)) ? fde.mountExisting : fde.openDataDisk;
          const { action } = await open({ ...volume(options), device, key }, machine);
          ui.info(`${device} ${action} at ${options.mountPoint}`);
          return;
        }
        await fde.mountExisting({ ...volume(options), key }, machine);
        ui.info(`${options.device} mounted at ${options.mountPoint}`);
      });
    });

  volumeOptions(command.command('grow'))
    .description('grow partition, mapping and file system to the size of the disk')
    .addHelpText('after', '\nA closed volume grows the rest of the way when it is opened the next time.')
    .action(async (options: VolumeOptions) => {
      const { growVolume, realDiskMachine } = await import('../fde/fde.ts');
      await withKey(options, async (key) => {
        const grown = await growVolume({ ...volume(options), key }, realDiskMachine);
        ui.info(`${options.device}: ${grown}`);
      });
    });

  const volumes = command.command('volumes').description('verity volumes: read-only data that an app asks for');
  volumes.helpCommand(false);
  volumes
    .command('list')
    .description('list the verity volumes that the attached disks offer')
    .option('--json', 'print as JSON')
    .action(async (options: { json?: boolean }) => {
      const { listText, listVolumes, realDiskMachine } = await import('../fde/fde.ts');
      const found = await listVolumes(realDiskMachine);
      ui.result({ volumes: found }, { json: options.json, text: () => listText(found) });
    });
  volumes
    .command('status')
    .description('say of each verity volume in app-compose.json whether it is attached and mounted')
    .argument('[app-compose]', 'the document', hostShared('appCompose'))
    .option('--json', 'print as JSON')
    .action(async (path: string, options: { json?: boolean }) => {
      const { realDiskMachine, statusLines, volumeStatus } = await import('../fde/fde.ts');
      const status = await volumeStatus(path, realDiskMachine);
      ui.result({ volumes: status }, { json: options.json, text: () => statusLines(status) });
    });

  volumes
    .command('mount')
    .description('open and mount the verity volumes in app-compose.json, as a boot does')
    .argument('[app-compose]', 'the document', hostShared('appCompose'))
    .action(async (path: string) => {
      const { mountVolumesOf, realDiskMachine } = await import('../fde/fde.ts');
      await mountVolumesOf(path, realDiskMachine);
    });

  command
    .command('close')
    .description('stop swapping, unmount, export the pool and close the mapping')
    .option('--mount-point <dir>', 'where the volume is mounted', PATHS.dataMount)
    .action(async (options: { mountPoint: string }) => {
      const { closeDataDisk, realDiskMachine } = await import('../fde/fde.ts');
      await closeDataDisk(options, realDiskMachine);
    });

  command
    .command('check-header')
    .description('check a LUKS2 header (device or header backup) against the only accepted form')
    .argument('<path>', 'device or file')
    .option('--json', 'print the result as JSON')
    .action(async (path: string, options: { json?: boolean }) => {
      const { checkHeader } = await import('../fde/fde.ts');
      const header = await checkHeader(path);
      const facts = { ...header, sequence: Number(header.sequence) };
      ui.result(facts, { json: options.json, text: () => [`accepted: ${path}, uuid ${header.uuid}`] });
    });
}

function volumeOptions(command: Command): Command {
  return command
    .requiredOption('--device <device>', 'partition or disk')
    .requiredOption('--key-file <path>', 'disk key, 32 bytes or 64 hex digits: a private file, or - for stdin')
    .addOption(offering('--fs <type>', 'file system', ['zfs', 'ext4']).default('zfs'))
    .option('--mount-point <dir>', 'where to mount the volume', PATHS.dataMount);
}

function volume({ device, fs, mountPoint }: VolumeOptions) {
  if (fs !== 'zfs' && fs !== 'ext4') {
    throw new DstackError('INPUT_INVALID', `--fs ${JSON.stringify(fs)} is not zfs or ext4`, {
      field: '--fs',
      value: fs,
    });
  }
  return { device, mountPoint, fs, encrypted: true, ephemeral: false } as const;
}

/** Reads the key after the other options are known to be right, and overwrites it at the end. */
async function withKey(options: VolumeOptions, use: (key: Uint8Array) => Promise<void>): Promise<void> {
  volume(options);
  const { readDiskKey } = await import('../fde/fde.ts');
  const { wipe } = await import('../sys/files.ts');
  const key = await readDiskKey(options.keyFile);
  try {
    await use(key);
  } finally {
    wipe(key);
  }
}
