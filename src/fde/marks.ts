/**
 * The note that a volume carries about its own first boot: one sector, readable without the key, outside everything that
 * the header check, cryptsetup and the reference look at. docs/disk.md has the states and transitions.
 *
 * - initialising: the volume has never been ready. It is the first thing written on a blank disk and goes last, when the
 *   file system is mounted and everything is on the disk. While it is there nothing can be lost.
 * - ephemeral: made with keys that ended with that boot (key provider none). Nobody can ever open it again.
 *
 * One sector is written completely or not at all, so a mark is the old one or the new one. No mark means: ready.
 * A mark counts only together with what it was made for (`marksContent`): a volume that somebody else made on the same
 * disk later is never taken for an unfinished one. The host can write marks; all it wins is that the volume is made
 * again, which it can have by attaching a blank disk.
 */
import type { Content } from './content.ts';
import type { DiskMachine } from './disk-machine.ts';
import { PAYLOAD_OFFSET } from './luks-json.ts';
import { waitForNode } from './nodes.ts';
import { beforePartition, encodeRecord, type Place, RECORD_SIZE } from './spare-sector.ts';
import { sizeInBytes } from './sysfs.ts';

export interface Mark {
  readonly initialising: boolean;
  readonly ephemeral: boolean;
  /** UUID of the LUKS header (or ext4 file system) the mark belongs to */
  readonly uuid: string;
}

/** Bytes of a mark. */
export const MARK_SIZE = RECORD_SIZE;
/** An encrypted volume keeps it in the gap behind its key slot: the last 4 KiB in front of the payload. */
export const MARK_AT = PAYLOAD_OFFSET - 4096;
/** An unencrypted one has no gap: the last 4 KiB in front of the partition hold it, if they belong to nobody. */
const BEFORE_PARTITION = 4096;

const TITLE = 'dstack volume mark 1';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A mark as bytes: text lines, the last of which is their SHA-256, padded with zeros. */
export function encodeMark({ initialising, ephemeral, uuid }: Mark): Uint8Array {
  const keys = ephemeral ? 'ephemeral' : 'lasting';
  return encodeRecord(`${TITLE}\nstate ${initialising ? 'initialising' : 'ready'}\nkeys ${keys}\nuuid ${uuid}\n`);
}

/** The mark in a sector; undefined for anything that is not exactly one. */
export function parseMark(bytes: Uint8Array): Mark | undefined {
  const text = Buffer.from(bytes).toString('latin1');
  const [, state, keys, uuid = ''] = /^.*\nstate (\S+)\nkeys (\S+)\nuuid (\S+)\n/.exec(text) ?? [];
  if (!UUID.test(uuid)) return undefined;
  const mark = { initialising: state === 'initialising', ephemeral: keys === 'ephemeral', uuid };
  return Buffer.from(encodeMark(mark)).equals(bytes) ? mark : undefined;
}

/** Where the mark of a device lies; undefined when there is no room for one. */
async function place(device: string, encrypted: boolean, machine: DiskMachine): Promise<Place | undefined> {
  if (encrypted) {
    return (await sizeInBytes(device, machine)) < PAYLOAD_OFFSET ? undefined : { path: device, at: MARK_AT };
  }
  return beforePartition(device, BEFORE_PARTITION, machine);
}

/** The mark of a device, or undefined when it has none. @throws FILE_IO */
export async function readMark(device: string, encrypted: boolean, machine: DiskMachine): Promise<Mark | undefined> {
  const found = await place(device, encrypted, machine);
  if (found === undefined) return undefined;
  return parseMark(await machine.read(found.path, found.at, MARK_SIZE));
}

/** Writes the mark; it is on the disk when this returns. @returns false when the device has no room for one */
export async function writeMark(
  device: string,
  encrypted: boolean,
  mark: Mark,
  machine: DiskMachine,
): Promise<boolean> {
  const found = await place(device, encrypted, machine);
  if (found === undefined) return false;
  await machine.write(found.path, [{ at: found.at, bytes: encodeMark(mark) }], `mark ${device} as ${words(mark)}`);
  // a write to the disk makes udev read its table again: the node of the partition may go and come back
  if (found.path !== device) await waitForNode(device, machine);
  return true;
}

/**
 * The first write on a blank disk, before its partition table: marks for the partition that will begin at `start`
 * (bytes), at both places, since it is not known yet whether the volume will be encrypted.
 */
export async function claimDisk(disk: string, start: number, uuid: string, machine: DiskMachine): Promise<void> {
  const bytes = encodeMark({ initialising: true, ephemeral: false, uuid });
  const pieces = [start - BEFORE_PARTITION, start + MARK_AT].map((at) => ({ at, bytes }));
  await machine.write(disk, pieces, `claim the blank disk ${disk}`);
}

/** True for a disk whose claim was written but whose partition table was not finished. @throws FILE_IO */
export async function isClaimed(disk: string, start: number, machine: DiskMachine): Promise<boolean> {
  if ((await sizeInBytes(disk, machine)) < start + PAYLOAD_OFFSET) return false;
  for (const at of [start - BEFORE_PARTITION, start + MARK_AT]) {
    if (parseMark(await machine.read(disk, at, MARK_SIZE))?.initialising) return true;
  }
  return false;
}

/** Whether a mark was made for what the device holds now. */
export function marksContent(mark: Mark | undefined, content: Content, encrypted: boolean): boolean {
  if (mark === undefined) return false;
  switch (content.kind) {
    case 'luks':
      return encrypted && content.uuid === mark.uuid;
    case 'ext4':
    case 'zfs':
      return !encrypted;
    case 'unknown':
      return !content.foreign;
    default:
      return true;
  }
}

function words({ initialising, ephemeral }: Mark): string {
  return initialising ? 'initialising' : ephemeral ? 'ready, with keys that end' : 'ready';
}
