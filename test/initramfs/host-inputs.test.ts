/** What the image leaves out, so that nothing of the host is acted upon before `dstack-util prepare`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { HOST_CLOSED, kernelCmdline } from '../../initramfs/lib/cmdline.ts';
import { readList } from '../../initramfs/lib/lists.ts';
import { packagesOf } from '../../initramfs/lib/packages.ts';
import { OVERLAY } from '../../packaging/tree.ts';

/** Generators and units of Debian's systemd 257 that act on a disk, a console, vsock, a firmware table or a variable. */
const ACTORS = [
  'system-generators/systemd-debug-generator', // credentials systemd.extra-unit.* and systemd.unit-dropin.*
  'system-generators/systemd-fstab-generator', // credential fstab.extra
  'system-generators/systemd-getty-generator',
  'system-generators/systemd-gpt-auto-generator',
  'system-generators/systemd-hibernate-resume-generator', // variable HibernateLocation
  'system-generators/systemd-run-generator',
  'system-generators/systemd-ssh-generator',
  'system-generators/systemd-tpm2-generator',
  'system-generators/zfs-mount-generator',
  'system/debug-shell.service',
  'system/emergency.service',
  'system/rescue.service',
  'system/getty.target',
  'system/serial-getty@.service',
  'system/systemd-confext.service',
  'system/systemd-sysext.service',
  'system/systemd-firstboot.service', // credentials firstboot.* and passwd.*
  'system/systemd-sysusers.service',
  'system/systemd-network-generator.service', // credentials network.*
  'system/systemd-udev-load-credentials.service', // credentials udev.*
  'system/systemd-pstore.service', // storage of the platform's firmware
  'system/systemd-random-seed.service', // variable LoaderSystemToken
  'system/systemd-rfkill.socket', // the two that udev starts for a device
  'system/systemd-backlight@.service',
  'system/zfs-import-scan.service',
];

describe('the image', () => {
  it('masks what would act on something of the host', async () => {
    expect(await readList('masked.list')).toEqual(expect.arrayContaining(ACTORS));
  });

  it.each(['dev', 'prod'] as const)(
    'of %s has no package that assembles volumes or waits for a login',
    async (profile) => {
      for (const name of await packagesOf(profile))
        expect(name).not.toMatch(
          /^(lvm2|mdadm|dmraid|multipath-tools|bcache-tools|btrfs-progs|openssh-|login|cloud-|udisks|qemu-guest)/,
        );
    },
  );

  it('has no module that reads fw_cfg or variables of the firmware, or drives what people plug in', async () => {
    for (const list of ['modules/image.list', 'modules/initramfs.list', 'modules/initramfs-more.list'])
      for (const pattern of await readList(list))
        expect(pattern).not.toMatch(/fw_cfg|efivar|usb|firewire|thunderbolt|hid|btrfs|raid|^md|acpi/);
  });

  it('has no key for the kernel on the serial console', () => {
    expect(readFileSync(join(OVERLAY, 'usr/lib/sysctl.d/90-dstack.conf'), 'utf8')).toMatch(/^kernel\.sysrq = 0$/m);
  });

  it('takes no name from the network', () => {
    const text = readFileSync(join(OVERLAY, 'usr/lib/systemd/network/20-dstack.network'), 'utf8');
    for (const section of ['DHCPv4', 'DHCPv6'])
      expect(text).toMatch(new RegExp(`^\\[${section}\\]\\n([^[]+\\n)?UseHostname=no$`, 'm'));
  });
});

describe('the command line', () => {
  it.each(['dev', 'prod'] as const)('of %s closes PID 1, and nothing behind opens it again', (profile) => {
    const words = kernelCmdline(profile, 'a'.repeat(64), 4096).split(' ');
    for (const word of HOST_CLOSED) {
      const key = `${word.split('=')[0]}=`;
      expect(words.filter((each) => each.startsWith(key))).toEqual([word]);
    }
    expect(HOST_CLOSED).toEqual(['systemd.import_credentials=no', 'efi=noruntime']);
  });

  it('of prod starts no debugging aid and believes no seed of the boot loader', () => {
    const line = kernelCmdline('prod', 'a'.repeat(64), 4096);
    expect(line).not.toMatch(
      /systemd\.(unit|run|wants|mask|debug|setenv|set_credential)|\binit=|\brd\.|resume=|kgdb|ssdt/,
    );
    expect(line).toContain('random.trust_bootloader=n');
  });
});
