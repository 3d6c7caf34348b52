/**
 * Two notes to the next boot, kept in the partition table: GPT attribute bits of the data partition.
 *
 * They must not be in the LUKS header (whose every member is checked, and which the reference must accept), and they
 * must be readable without the key. The type-specific bits 48-63 of a Linux filesystem partition (0FC63DAF-...) are
 * free except 59, 60 and 63, which systemd uses.
 *
 * - initialising: the volume has never been ready. Set before anything is formatted, cleared when the file system is
 *   mounted and synced. While it is set there is nothing to lose, so an interrupted first boot may start over.
 * - ephemeral: made with keys that ended with that boot (key provider none). Nobody can ever open it again.
 *
 * The host can set both. All it wins is that the volume is made anew, which it can have by attaching a blank disk.
 * A volume whose bits are clear is never formatted, whatever else is wrong with it.
 */
import { DstackError } from '../errors.ts';
import { effect, isDryRun } from '../sys/effects.ts';
import { waitForNode } from './nodes.ts';
import { type Surface, SYSTEM } from './surface.ts';
import { partitionOf } from './sysfs.ts';

export interface Marks {
  readonly initialising: boolean;
  readonly ephemeral: boolean;
}

/** GPT attribute bit numbers. */
export const BITS = { initialising: 52, ephemeral: 53 } as const;

/**
 * The marks of a partition, or undefined for a whole disk: it has no partition table to keep them in.
 * @throws COMMAND_FAILED
 */
export async function readMarks(device: string, surface: Surface = SYSTEM): Promise<Marks | undefined> {
  const part = await partitionOf(device, surface);
  if (part === undefined) {
    // a partition that this run would have created, with the mark it would have got
    if (isDryRun() && !(await surface.isBlockDevice(device))) return { initialising: true, ephemeral: false };
    return undefined;
  }
  const disk = `${surface.dev}/${part.disk}`;
  const { stdout } = await surface.run('sgdisk', ['-i', String(part.number), disk], { readOnly: true });
  const flags = /^Attribute flags: ([0-9A-Fa-f]{16})$/m.exec(stdout)?.[1];
  // an MBR has no attributes, and writing some would convert it
  if (flags === undefined || stdout.includes('converting MBR')) return undefined;
  const bits = BigInt(`0x${flags}`);
  const has = (bit: number): boolean => ((bits >> BigInt(bit)) & 1n) === 1n;
  return { initialising: has(BITS.initialising), ephemeral: has(BITS.ephemeral) };
}

/**
 * Writes both marks. One call takes about a second: sgdisk syncs and pauses. If the partition is in use the kernel
 * keeps its (unchanged) table, which is fine: only attributes change.
 * @throws COMMAND_FAILED, DISK_NOT_FOUND when the partition node does not come back
 */
export async function writeMarks(device: string, marks: Marks, surface: Surface = SYSTEM): Promise<void> {
  const part = await partitionOf(device, surface);
  if (part === undefined) {
    if (isDryRun()) return effect(`mark ${device} as ready`, undefined, async () => {});
    throw new DstackError('INTERNAL', `${device} is no partition and cannot carry a mark`, { path: device });
  }
  const change = (name: keyof Marks): string[] => [
    '-A',
    `${part.number}:${marks[name] ? 'set' : 'clear'}:${BITS[name]}`,
  ];
  await surface.run('sgdisk', [...change('initialising'), ...change('ephemeral'), `${surface.dev}/${part.disk}`]);
  await waitForNode(device, surface);
}
