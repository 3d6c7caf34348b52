/** What becomes of a device, by what it holds. docs/disk.md has this as a table. */
import type { FileSystem } from '../config/storage-options.ts';
import { DstackError } from '../errors.ts';
import { notBlank } from './choose-disk.ts';
import type { Content } from './content.ts';
import type { Mark } from './marks.ts';

/** What is asked of a device. */
export interface DiskRequest {
  /** partition or whole disk, from chooseDataDevice */
  readonly device: string;
  readonly fs: FileSystem;
  readonly encrypted: boolean;
  /** the keys end with this boot (key provider none) */
  readonly ephemeral: boolean;
}

export type DiskAction = 'initialised' | 'mounted' | 'reformatted-ephemeral';

/**
 * A volume is made again only if it was never ready, if its keys are known to be gone, or if the device is blank.
 * Everything else is opened as it is or refused.
 * @param mark only one that was made for this content (`marksContent`), and that the key does not disprove
 * @throws DISK_NOT_BLANK, DISK_FOREIGN
 */
export function decideDisk(
  { device, encrypted, ephemeral, fs }: DiskRequest,
  content: Content,
  mark: Mark | undefined,
): DiskAction {
  if (mark?.initialising) return 'initialised';
  // throw-away keys on both sides: nothing is lost, also when the last such boot was interrupted while formatting
  const leftover = content.kind === 'luks' || (content.kind === 'unknown' && content.foreign === false);
  if (mark?.ephemeral && encrypted && ephemeral && leftover) return 'reformatted-ephemeral';
  switch (content.kind) {
    case 'unknown':
      throw notBlank(device, content.seen);
    case 'blank':
      return 'initialised';
    case 'luks':
      if (!encrypted) throw notBlank(device, 'an encrypted volume, but dstack.storage_encrypted is off');
      if (ephemeral) throw foreign(device, 'an encrypted volume that keys of key provider none cannot open', undefined);
      if (mark?.ephemeral) {
        throw foreign(
          device,
          'a volume whose keys ended with the boot that made it, says its mark, and the disk key does not open it',
          'attach a blank disk; blank this one only if it cannot be the disk of another app, since a host can write marks',
        );
      }
      return 'mounted';
    default:
      if (encrypted) throw notBlank(device, `an unencrypted ${content.kind} file system`);
      if (content.kind !== fs) throw notBlank(device, `${content.kind}, but storage_fs is ${fs}`);
      return 'mounted';
  }
}

function foreign(device: string, what: string, hint: string | undefined): DstackError {
  return new DstackError('DISK_FOREIGN', `${device} holds ${what}`, { path: device, hint });
}
