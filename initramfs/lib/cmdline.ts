/** The kernel command lines. They are measured, so every word needs a reason. */
import { NTS_PARAMETER, parseTimeServers } from '../../src/config/time-servers.ts';
import type { Profile } from './packages.ts';

/** What closes PID 1 to the host. An image built elsewhere needs these words too (docs/image-builders.md). */
export const HOST_CLOSED = [
  'systemd.import_credentials=no', // strings of SMBIOS and fw_cfg are the host's, and PID 1 would act on them as root
  'efi=noruntime', // so are the variables of the firmware: PID 1 takes words of a command line from one of them
] as const;

const common = [
  'console=ttyS0',
  'net.ifnames=0', // one interface, and its name is eth0
  ...HOST_CLOSED,
];

const words: Record<Profile, string[]> = {
  prod: [
    'panic=1', // an initramfs that refuses the root reboots
    'oops=panic',
    'mce=off',
    'pci=noearly',
    'pci=nommconf',
    'random.trust_cpu=y',
    'random.trust_bootloader=n',
    'tsc=reliable',
    'no-kvmclock', // the host's clock page is not to be believed
    'systemd.show_status=auto',
    'loglevel=5',
  ],
  dev: [
    'panic=-1', // QEMU runs with -no-reboot and ends
    'mitigations=off', // the rest of the list saves time under software emulation
    'tsc=reliable',
    'nokaslr',
    'no_timer_check',
    'cryptomgr.notests',
    'audit=0',
    'lsm=',
    'loglevel=5',
    'systemd.show_status=true',
  ],
};

/** Where the root lies when a VMM loads kernel and initramfs itself: the first disk is the root file. */
export const WHOLE_DISK = '/dev/vda';
/** Where it lies when firmware starts a UKI: beside the partition of the firmware. */
export const PARTITION = 'PARTLABEL=dstack-rootfs';

/**
 * The command line of an image; whatever starts the machine may add words after it only if it controls measurement.
 * @param nts time servers as `HOST[:PORT],...`, default none
 * @throws CONFIG_INVALID for other text
 */
export function kernelCmdline(
  profile: Profile,
  rootHash: string,
  rootSize: number,
  device: typeof WHOLE_DISK | typeof PARTITION = WHOLE_DISK,
  nts?: string,
): string {
  if (nts !== undefined) parseTimeServers(nts);
  const time = nts === undefined ? [] : [`${NTS_PARAMETER}=${nts}`];
  const root = [`dstack.rootfs_hash=${rootHash}`, `dstack.rootfs_size=${rootSize}`, `dstack.rootfs_device=${device}`];
  return [...common, ...words[profile], ...time, ...root].join(' ');
}
