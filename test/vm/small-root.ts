/** A root of one busybox and one file: enough to see whether the initramfs starts it and hands out what is in it. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { addVerity } from '../../initramfs/lib/rootfs.ts';
import { runInTools } from '../../initramfs/lib/tools.ts';

/** What the program of the small root says, before and after it has read every byte of its file. */
export const STARTED = 'the small root has started';
export const READ = 'every byte was read';
export const REFUSED = 'not all of it could be read';

export interface SmallRoot {
  /** squashfs with the hash tree behind it */
  readonly file: string;
  readonly hash: string;
  /** bytes in front of the hash tree */
  readonly size: number;
}

/** Makes it in a fresh folder. Its file is 3 MB that do not compress: where it lies, every bit counts. */
export async function makeSmallRoot(dir: string): Promise<SmallRoot> {
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  const script = [
    'mkdir -p tree/sbin tree/bin tree/sys tree/proc tree/dev tree/run tree/var/volatile',
    'cp /bin/busybox tree/bin/busybox; ln -s busybox tree/bin/sh',
    'head -c 3000000 /dev/urandom >tree/data',
    "cat >tree/sbin/init <<'END'",
    '#!/bin/sh',
    `echo "${STARTED}" >/dev/kmsg`,
    `if /bin/busybox cat /data >/dev/null 2>&1; then echo "${READ}" >/dev/kmsg; else echo "${REFUSED}" >/dev/kmsg; fi`,
    '/bin/busybox poweroff -f',
    'END',
    'chmod 755 tree/sbin/init',
    'mksquashfs tree rootfs.verity -noappend -quiet -no-progress -all-root >/dev/null',
    'stat -c %s rootfs.verity',
  ].join('\n');
  const size = Number((await runInTools(['sh', '-ec', script], { cwd: dir })).stdout.trim());
  return { file: join(dir, 'rootfs.verity'), hash: await addVerity(dir, size), size };
}
