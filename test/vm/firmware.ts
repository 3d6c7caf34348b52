/** Boots a UKI as a machine with firmware does: OVMF finds it on the first partition of a disk, the root is the second. */
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { runInTools } from '../../initramfs/lib/tools.ts';
import { ensureUkiTree } from '../../initramfs/lib/uki.ts';
import { ConsoleLog } from '../../initramfs/vm/console.ts';
import { startPastEarlyAbort } from '../../initramfs/vm/early-abort.ts';
import { QemuProcess } from '../../initramfs/vm/process.ts';
import { within } from '../../initramfs/vm/wait.ts';

const FIRMWARE = 'usr/share/OVMF';

/** Makes `dir/disk` and starts it; returns the console when the machine is off. */
export async function bootFirmware(dir: string, uki: string, root: string, limitMs: number): Promise<string> {
  const tree = await ensureUkiTree();
  await mkdir(dir, { recursive: true });
  await copyFile(uki, join(dir, 'uki'));
  await copyFile(root, join(dir, 'root'));
  const mtools = (words: string) => `chroot "$TREE" ${words}`;
  const script = [
    'mkdir -p "$TREE/work"; mount --bind . "$TREE/work"; export MTOOLSRC=/dev/null',
    'truncate -s 62M esp',
    mtools('mformat -i /work/esp -T 126976 -h 255 -s 63 ::'),
    mtools('mmd -i /work/esp ::EFI ::EFI/BOOT'),
    mtools('mcopy -i /work/esp /work/uki ::EFI/BOOT/BOOTX64.EFI'),
    'truncate -s 80M disk',
    'sgdisk -n 1:2048:+62M -t 1:ef00 -n 2:131072:0 -c 2:dstack-rootfs disk >/dev/null',
    'dd if=esp of=disk bs=1M seek=1 conv=notrunc status=none',
    'dd if=root of=disk bs=1M seek=64 conv=notrunc status=none',
    'cp "$TREE"/usr/share/OVMF/OVMF_VARS_4M.fd vars; rm esp uki root',
  ].join('\n');
  await runInTools(['sh', '-ec', script], { cwd: dir, env: { TREE: tree } });
  const argv = [
    ...['qemu-system-x86_64', '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-monitor', 'none'],
    ...['-serial', 'stdio', '-machine', 'q35', '-accel', 'tcg,tb-size=256', '-cpu', 'EPYC', '-smp', '1', '-m', '512'],
    ...['-drive', `if=pflash,format=raw,unit=0,readonly=on,file=${join(tree, FIRMWARE, 'OVMF_CODE_4M.fd')}`],
    ...['-drive', `if=pflash,format=raw,unit=1,file=${join(dir, 'vars')}`],
    ...['-drive', `if=none,id=disk,format=raw,readonly=on,file=${join(dir, 'disk')}`],
    ...['-device', 'virtio-blk-pci,drive=disk,bootindex=0', '-device', 'virtio-rng-pci'],
  ];
  const console = new ConsoleLog(join(dir, 'console.log'));
  const qemu = await startPastEarlyAbort(() => QemuProcess.start(argv, console, [dir, tree]), console);
  try {
    await within(limitMs, 'the end of the machine with firmware', qemu.exited);
  } finally {
    qemu.kill();
    await console.close();
  }
  return console.text;
}
