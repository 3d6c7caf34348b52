/** What a hostile host puts around a VM before its first program runs: firmware tables, devices and disks. */
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runInTools } from '../../initramfs/lib/tools.ts';
import { ensureUkiTree } from '../../initramfs/lib/uki.ts';
import { utf16, writeEfiVariable } from './efi-variable.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** A file that a credential makes where systemd takes it. */
export const WRITTEN = { smbios: '/run/host-smbios', fwCfg: '/run/host-fw-cfg' } as const;
/** The program that the kernel is to run as root at its next request for a module. */
export const MODPROBE = '/run/host-modprobe';
export const HOST_MACHINE_ID = '0123456789abcdef0123456789abcdef';
export const HOST_NAME = 'named-by-the-host';

/** Credentials of systemd.system-credentials(7) that change a machine. */
const CREDENTIALS: Readonly<Record<string, string>> = {
  'tmpfiles.extra': `f ${WRITTEN.smbios} 0644 root root - written by the host\nf ${MODPROBE} 0755 root root - x\n`,
  'sysctl.extra': `kernel.modprobe = ${MODPROBE}\n`,
  'fstab.extra': 'tmpfs /mnt tmpfs defaults 0 0\n',
  'systemd.extra-unit.host-unit.service': '[Service]\nExecStart=/usr/bin/touch /run/host-unit\n',
  'systemd.unit-dropin.sysinit.target': '[Unit]\nWants=host-unit.service\n',
  'system.hostname': HOST_NAME,
  'system.machine_id': HOST_MACHINE_ID,
  'network.hosts': '10.0.2.66 registry.example\n',
};

/** Strings of SMBIOS type 11, in which systemd looks for credentials. */
const smbios = Object.entries(CREDENTIALS).flatMap(([name, text]) => [
  '-smbios',
  `type=11,value=io.systemd.credential.binary:${name}=${base64(text)}`,
]);

/**
 * A table whose only device computes 40 + 2 as its `_UID`: that the sum is seen in sysfs says that the kernel ran code
 * of the host (ACPI specification 6.5, chapter 20).
 */
export function ssdtBody(): Uint8Array {
  const ascii = (text: string) => [...Buffer.from(text, 'latin1')];
  const sized = (content: number[]) => [content.length + 1, ...content]; // PkgLength of one byte: below 64
  const hid = [0x08, ...ascii('_HID'), 0x0d, ...ascii('HOST0001'), 0];
  const sum = [0xa4, 0x72, 0x0a, 40, 0x0a, 2, 0x00];
  const uid = [0x14, ...sized([...ascii('_UID'), 0, ...sum])];
  const device = [0x5b, 0x82, ...sized([...ascii('EVIL'), ...hid, ...uid])];
  return Uint8Array.from([0x10, ...sized([...ascii('\\_SB_'), ...device])]);
}

/**
 * A disk with every partition type that systemd-gpt-auto-generator acts on, each with the file system or swap area it
 * asks for (Discoverable Partitions Specification).
 */
async function discoverableDisk(dir: string): Promise<string> {
  const file = join(dir, 'discoverable.img');
  await rm(file, { force: true });
  // swap, /home, /srv, /var, /var/tmp, ESP, XBOOTLDR
  const types = ['8200', '8302', '8306', '8310', '8311', 'ef00', 'ea00'];
  const script = [
    'truncate -s 72M discoverable.img',
    `sgdisk ${types.map((type, index) => `-n ${index + 1}:0:+8M -t ${index + 1}:${type}`).join(' ')} discoverable.img >/dev/null`,
    'truncate -s 8M part; mkswap -q -L host-swap part; dd if=part of=discoverable.img bs=1M seek=1 conv=notrunc status=none',
    'rm part; truncate -s 8M part; mke2fs -q -t ext4 -L home part',
    ...types
      .slice(1)
      .map((_, index) => `dd if=part of=discoverable.img bs=1M seek=${9 + 8 * index} conv=notrunc status=none`),
    'rm part',
  ];
  await runInTools(['sh', '-ec', script.join('\n')], { cwd: dir });
  return file;
}

/** What a service finds in its environment if PID 1 has read the variable `SystemdOptions`. */
export const ENVIRONMENT = 'HOST_SAYS=yes';

/** Firmware with a variable from which systemd takes options; returns the arguments that start it. */
async function firmware(dir: string): Promise<string[]> {
  const from = join(await ensureUkiTree(), 'usr/share/OVMF');
  const [code, vars] = [join(dir, 'OVMF_CODE.fd'), join(dir, 'OVMF_VARS.fd')];
  await copyFile(join(from, 'OVMF_CODE_4M.fd'), code);
  await copyFile(join(from, 'OVMF_VARS_4M.fd'), vars);
  await writeEfiVariable(vars, {
    name: 'SystemdOptions',
    vendor: '8cf2644b-4b0b-428f-9387-6d876050dc67',
    data: utf16(`systemd.setenv=${ENVIRONMENT}`),
  });
  return [
    ...['-drive', `if=pflash,format=raw,unit=0,readonly=on,file=${code}`],
    ...['-drive', `if=pflash,format=raw,unit=1,file=${vars}`],
  ];
}

export interface HostileHost {
  /** arguments of QEMU */
  readonly hostile: readonly string[];
  /** raw disk images */
  readonly disks: readonly { file: string; readOnly: true }[];
}

/** Makes the files of the attack below `dir`, the folder of the VM. Its kernel must be one that firmware can start. */
export async function hostileHost(dir: string): Promise<HostileHost> {
  await mkdir(dir, { recursive: true });
  const aml = join(dir, 'ssdt.aml');
  await writeFile(aml, ssdtBody());
  const fwCfg = base64(`f ${WRITTEN.fwCfg} 0644 root root - written by the host\n`);
  await writeFile(join(dir, 'fw-cfg'), Buffer.from(fwCfg, 'base64'));
  return {
    hostile: [
      ...(await firmware(dir)),
      ...smbios,
      ...['-fw_cfg', `name=opt/io.systemd.credentials/tmpfiles.extra,file=${join(dir, 'fw-cfg')}`],
      ...['-acpitable', `sig=SSDT,rev=2,oem_id=HOST,oem_table_id=HOSTCODE,data=${aml}`],
      // a console that a getty could listen on
      ...['-chardev', 'null,id=hvc', '-device', 'virtconsole,chardev=hvc'],
    ],
    disks: [{ file: await discoverableDisk(dir), readOnly: true }],
  };
}
