/**
 * What a host may put in front of the first line of dstack-util, all at once around one VM: credentials in SMBIOS strings
 * and fw_cfg, options in a variable of the firmware, an ACPI table, a console, a disk full of partitions that systemd
 * would mount by itself. docs/threat-model.md has the table that these tests stand for.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureKernel } from '../../initramfs/lib/kernel.ts';
import { ensureTools } from '../../initramfs/lib/tools.ts';
import { ensureDevImage } from '../../initramfs/vm/dev-image.ts';
import type { Machine } from '../../initramfs/vm/machine.ts';
import { ENVIRONMENT, HOST_MACHINE_ID, hostileHost, MODPROBE, WRITTEN } from './hostile-host.ts';
import { boot, NOTHING_STARTED, vmDir } from './support.ts';

let vm: Machine;
beforeAll(async () => {
  const { hostile, disks } = await hostileHost(vmDir('host-inputs'));
  const { bzImage } = await ensureKernel(await ensureTools({}));
  vm = await boot('host-inputs', {
    image: { ...(await ensureDevImage({ zfs: false })), kernel: bzImage },
    dataDisk: 'none',
    shareMode: '9p',
    extraDisks: disks,
    hostile,
    kernelArgs: NOTHING_STARTED,
  });
  await vm.ok('systemctl is-system-running --wait || true; udevadm settle', { timeoutMs: 400_000 });
});
afterAll(() => vm?.kill().then(() => vm.stop()));

describe('a host that hands over more than a machine', () => {
  it('is really one: firmware, strings, console and partitions have arrived', async () => {
    const found = await vm.ok(`
      ls -d /sys/firmware/efi
      grep -al 'io.systemd.credential.binary:tmpfiles.extra' /sys/firmware/dmi/entries/11-*/raw | wc -l
      ls -d /sys/class/tty/hvc0
      lsblk -nro PARTTYPENAME /dev/vdb | grep -c Linux
      blkid -p -o value -s TYPE /dev/vdb1 /dev/vdb2`);
    expect(found.split('\n')).toEqual(['/sys/firmware/efi', '1', '/sys/class/tty/hvc0', '6', 'swap', 'ext4']);
  });

  it('writes no file and no kernel setting by a credential in an SMBIOS string or in fw_cfg', async () => {
    const { stdout } = await vm.sh(`
      ls -d ${WRITTEN.smbios} ${WRITTEN.fwCfg} ${MODPROBE} /run/host-unit /run/credentials/@* /sys/firmware/qemu_fw_cfg
      cat /proc/sys/kernel/modprobe
      grep registry.example /etc/hosts`);
    expect(stdout).toBe('/sbin/modprobe\n');
  });

  it('gives no option to PID 1 by a variable of the firmware', async () => {
    const { stdout } = await vm.sh('ls /sys/firmware/efi/efivars /run/systemd/efivars; systemctl show-environment');
    expect(stdout).toContain('PATH=');
    expect(stdout).not.toContain('SystemdOptions');
    expect(stdout).not.toContain(ENVIRONMENT);
  });

  it('names neither the machine nor its units', async () => {
    expect(await vm.ok('cat /proc/sys/kernel/hostname')).toBe('dstack');
    expect(await vm.ok('cat /etc/machine-id')).not.toBe(HOST_MACHINE_ID);
    expect(await vm.ok('systemctl show -P LoadState host-unit.service')).toBe('not-found');
    expect(await vm.ok('systemctl show -P Wants sysinit.target')).not.toContain('host-unit');
  });

  it('has nothing mounted or used as swap by the types of its partitions', async () => {
    expect(await vm.ok('tail -n +2 /proc/swaps; findmnt -rno TARGET,SOURCE | grep /dev/vdb || true')).toBe('');
    const units = "systemctl list-units --all --plain --no-legend 'mnt.mount' 'home.mount' 'srv.mount' '*.swap'";
    expect(await vm.ok(units)).toBe('');
  });

  it('finds no generator to work for it', async () => {
    const open = await vm.ok(`cd /usr/lib/systemd/system-generators
      for name in *; do [ "$(readlink /etc/systemd/system-generators/$name)" = /dev/null ] || echo $name; done
      find /run/systemd/generator /run/systemd/generator.early /run/systemd/generator.late -type f 2>/dev/null || true`);
    expect(open).toBe('');
  });

  it('finds nobody who listens on a console, and no key for the kernel', async () => {
    const units = "systemctl list-units --all --plain --no-legend '*getty*' emergency.service rescue.service";
    expect(await vm.ok(units)).not.toMatch(/ loaded /);
    expect(await vm.ok('find /proc/[0-9]*/fd -lname "/dev/hvc*" 2>/dev/null; cat /proc/sys/kernel/sysrq')).toBe('0');
  });

  it('is looked through by the doctor', async () => {
    const { stdout } = await vm.sh('dstack-util doctor --json', { timeoutMs: 240_000 });
    const { findings } = JSON.parse(stdout) as { findings: { check: string; status: string; text: string }[] };
    expect(findings.filter(({ check }) => check === 'host inputs')).toMatchObject([{ status: 'ok' }]);
  });

  it('runs code in ACPI tables, which only measurement shows', async () => {
    expect(await vm.ok('cat /sys/bus/acpi/devices/HOST0001:00/uid')).toBe('42');
  });
});
