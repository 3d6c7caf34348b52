/** Verity volumes on a disk of a VM: made as their publishers make them, then listed, mounted and damaged. */
import { expect } from 'vitest';
import type { Machine } from '../../initramfs/vm/machine.ts';
import { LONG } from './disk-room.ts';
import { fails } from './support.ts';

const DOCUMENT = '/run/verity/app-compose.json';

function compose(root: string, ...targets: string[]): string {
  const volumes = targets.map((target) => ({ source: 'v.img', verity_root: root, target }));
  return JSON.stringify({ manifest_version: 2, name: 'x', runner: 'docker-compose', verity_volumes: volumes });
}

/** Makes a volume on the blank disk `disk` (envelope, data, hash tree), and goes through everything that is done with it. */
export async function checkVerityVolumes(vm: Machine, disk: string): Promise<void> {
  const write = (text: string) =>
    vm.ok(`echo ${Buffer.from(text).toString('base64')} | base64 -d >${DOCUMENT}`).then(() => {});
  const mount = `dstack-util fde volumes mount ${DOCUMENT}`;
  const status = () => vm.ok(`dstack-util fde volumes status ${DOCUMENT}`);

  const root = await vm.ok(
    [
      'set -eo pipefail; mkdir -p /run/verity/tree; echo weights >/run/verity/tree/model',
      // sgdisk has made the kernel read the table
      `sgdisk -n 1:1MiB:+1M -n 2:2MiB:+40M -n 3:0:0 ${disk} >/dev/null; udevadm settle`,
      // the mapping has sectors of 4096 bytes: smaller blocks of a file system could not be mounted
      `mkfs.ext4 -q -F -b 4096 -d /run/verity/tree ${disk}2`,
      `root=$(veritysetup format ${disk}2 ${disk}3 | sed -n 's/^Root hash:[[:space:]]*//p')`,
      // magic, kind 1 as 32 bits little endian, root hash
      `{ printf 'DSTACK_VOLUME\\0\\0\\0\\1\\0\\0\\0'; printf "$(echo $root | sed 's/../\\\\x&/g')"; } >/run/verity/envelope`,
      `dd if=/run/verity/envelope of=${disk}1 conv=fsync 2>/dev/null; echo $root`,
    ].join('\n'),
    LONG,
  );
  expect(root).toMatch(/^[0-9a-f]{64}$/);
  expect(await vm.ok('dstack-util fde volumes list')).toBe(`${root}\tdata=${disk}2\thash=${disk}3`);
  const [listed] = JSON.parse(await vm.ok('dstack-util fde volumes list --json')).volumes;
  expect(listed).toEqual({ root, data: `${disk}2`, hash: `${disk}3` });

  await write(compose(root, '/run/verity/a', '/run/verity/b'));
  expect(await status()).toBe(
    ['a', 'b'].map((t, i) => `${i}\troot=${root}\ttarget=/run/verity/${t}\tattached=true\tactive=false`).join('\n'),
  );
  for (let i = 0; i < 2; i++) await vm.ok(mount, LONG);
  expect(await vm.ok('cat /run/verity/a/model /run/verity/b/model')).toBe('weights\nweights');
  const options = await vm.ok('findmnt -no OPTIONS /run/verity/a; findmnt -no SOURCE /run/verity/b');
  expect(options).toMatch(/^ro\b.*\n\/dev\/mapper\/dstack-verity0$/);
  expect((await status()).match(/attached=true\tactive=true$/gm)).toHaveLength(2);
  expect((await vm.sh('echo x >/run/verity/a/model')).exit).not.toBe(0);

  // a duplicate target, and a target that something else is mounted at
  await write(compose(root, '/run/verity/a', '/run/verity/a'));
  await fails(vm, mount, 'DOCUMENT_INVALID');
  await vm.ok('umount /run/verity/a; mkdir -p /run/verity/c; mount -t tmpfs tmpfs /run/verity/c');
  await write(compose(root, '/run/verity/c'));
  await fails(vm, mount, 'VOLUME_INVALID');
  await vm.ok('umount /run/verity/b /run/verity/c; veritysetup close dstack-verity0 2>/dev/null || true');

  // data that is not what the root hash says, and a root hash that no disk offers
  await write(compose(root, '/run/verity/a'));
  await vm.ok(`dd if=/dev/urandom of=${disk}2 bs=4k count=1 conv=fsync 2>/dev/null`);
  await fails(vm, mount, 'VOLUME_INVALID');
  expect((await vm.sh('test -e /dev/mapper/dstack-verity0')).exit).toBe(1);
  await write(compose('00'.repeat(32), '/run/verity/a'));
  await fails(vm, mount, 'VOLUME_INVALID');
  expect(await status()).toContain('attached=false\tactive=false');
}
