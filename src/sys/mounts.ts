/** What is mounted where: the kernel's own table, /proc/self/mountinfo (proc(5)), with its octal escapes undone. */
import * as fs from 'node:fs/promises';
import { DstackError } from '../errors.ts';
import { effect } from './effects.ts';
import { native } from './native.ts';

export interface MountEntry {
  /** `major:minor` of the file system */
  readonly device: string;
  /** path inside that file system that is mounted */
  readonly root: string;
  readonly mountPoint: string;
  readonly type: string;
  readonly source: string;
  readonly options: string;
}

const unescapeOctal = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** Parses the text of mountinfo; lines that do not have the documented shape are skipped. */
export function parseMountinfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [before, after] = line.split(' - ');
    if (before === undefined || after === undefined) continue;
    const left = before.split(' ');
    const right = after.split(' ');
    const [device, root, mountPoint] = [left[2], left[3], left[4]];
    if (device === undefined || root === undefined || mountPoint === undefined) continue;
    entries.push({
      device,
      root: unescapeOctal(root),
      mountPoint: unescapeOctal(mountPoint),
      type: right[0] ?? '',
      source: unescapeOctal(right[1] ?? ''),
      options: right[2] ?? '',
    });
  }
  return entries;
}

export async function mounts(): Promise<MountEntry[]> {
  return parseMountinfo(await fs.readFile('/proc/self/mountinfo', 'utf8'));
}

/** The mount on top of `path`, or undefined when `path` is not a mount point. */
export async function mountAt(path: string): Promise<MountEntry | undefined> {
  return (await mounts()).findLast((entry) => entry.mountPoint === path);
}

/**
 * Puts what is at `source`, with everything that is mounted below it, at `target` too. By the system call itself: under
 * emulation the starts of mount(8) were most of our own time after the measurements.
 * @throws MOUNT_FAILED
 */
export async function bindMount(source: string, target: string): Promise<void> {
  await effect(`bind ${source} to ${target}`, undefined, async () => {
    try {
      (await native()).bindMount(source, target);
    } catch (cause) {
      throw new DstackError('MOUNT_FAILED', `${source} cannot be bound to ${target}`, { path: target, cause });
    }
  });
}
