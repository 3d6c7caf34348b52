/**
 * From the keys to the mounted volume, in a VM in which nothing else runs: the first boot makes LUKS and file system on a
 * blank disk, later boots open them. The start of the binary is part of the time.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheRoot } from '../initramfs/lib/cache.ts';
import { ensureDevImage } from '../initramfs/vm/dev-image.ts';
import { Machine } from '../initramfs/vm/machine.ts';
import { duration } from '../src/ui.ts';
import { median, note } from './report.ts';

const BUDGET = { first: 3000, later: 1500 };
const KEY = '5a'.repeat(32);
const DISKS = 5;
/** dstack-prepare.service says why */
const AS_IN_THE_UNIT = 'BUN_JSC_useBaselineJIT=0';

/** Prints the times of first and later openings. */
export async function benchDisk(): Promise<void> {
  const dir = join(cacheRoot, 'vm/bench-disk');
  const vm = await Machine.boot({
    image: await ensureDevImage({ zfs: true }),
    dir,
    share: {},
    shareMode: '9p',
    dataDisk: 'none',
    kernelArgs: ['systemd.unit=sysinit.target'],
  });
  try {
    await vm.ok('modprobe -a zfs loop dm-crypt xts; mkdir /run/d; mount -t tmpfs -o size=1500M tmpfs /run/d', {
      timeoutMs: 240_000,
    });
    console.log('\nfrom the keys to the mounted volume (median, all)');
    for (const fs of ['zfs', 'ext4']) {
      const script = [
        // the first one only warms up
        `for n in $(seq 0 ${DISKS}); do`,
        '  truncate -s 256M /run/d/$n; loop=$(losetup -P -f --show /run/d/$n)',
        '  for step in first later; do',
        '    began=$(date +%s%N)',
        `    echo ${KEY} | ${AS_IN_THE_UNIT} dstack-util fde open --create --device $loop --key-file - --fs ${fs} --mount-point /run/m 2>/dev/null || exit`,
        '    [ $n = 0 ] || echo $step $(( ($(date +%s%N) - began) / 1000000 ))',
        '    dstack-util fde close --mount-point /run/m',
        '  done; losetup -d $loop; rm /run/d/$n',
        'done',
      ].join('\n');
      const lines = (await vm.ok(script, { timeoutMs: 400_000 })).split('\n').map((line) => line.split(' '));
      for (const step of ['first', 'later'] as const) {
        const times = lines.filter(([name]) => name === step).map(([, ms]) => Number(ms));
        note(
          { bench: 'disk', name: `${fs}, ${step} boot`, unit: 'ms', budget: fs === 'zfs' ? BUDGET[step] : undefined },
          times,
        );
        const limit = fs === 'zfs' ? `budget ${duration(BUDGET[step])}` : '';
        console.log(
          `  ${`${fs}, ${step} boot`.padEnd(34)} ${duration(median(times)).padStart(12)}   ${limit.padEnd(18)} ${times.join(' ')}`,
        );
      }
    }
    const start = await vm.ok(
      'began=$(date +%s%N); for i in 1 2 3 4; do dstack-util --version >/dev/null; done; echo $(( ($(date +%s%N) - began) / 4000000 ))',
    );
    console.log(`  ${'start of the binary alone'.padEnd(34)} ${duration(Number(start)).padStart(12)}`);
  } finally {
    await vm.kill();
    await vm.stop();
    await rm(dir, { recursive: true, force: true });
  }
}
