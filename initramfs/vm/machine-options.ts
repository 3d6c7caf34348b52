/** What a VM is made of, as its starter says it. */
import type { HostEvent } from '../../simulator/host-event.ts';
import type { Disk, Forward, GuestService } from './qemu.ts';
import type { ShareFiles } from './share.ts';

/** What a VM boots: the files of one built image. */
export interface BootImage {
  readonly kernel: string;
  readonly initrd: string;
  /** root file system with its hash tree */
  readonly root: string;
  /** the measured kernel command line */
  readonly cmdline: string;
  /** SHA-256 of the image's checksum file, hex */
  readonly osImageHash: string;
  readonly name: string;
  /** the image in the platform's form: the simulated TDX device shows what a TDX host would measure of it */
  readonly folder?: string;
}

export interface MachineOptions {
  readonly image: BootImage;
  /** folder for disks, share and console log; kept afterwards */
  readonly dir: string;
  /** files of the host share; `.sys-config.json` is made when it is missing here */
  readonly share: ShareFiles;
  readonly shareMode?: 'disk' | '9p';
  /** fields of `.sys-config.json` that differ from what the runner writes */
  readonly sysConfig?: Readonly<Record<string, unknown>>;
  /** do as a VMM does: hand the guest as `.instance_info` what it reported as `instance.info` in its last boot */
  readonly rememberInstance?: boolean;
  /** `none` = no data disk; `keep` = the disk of the last run; `blank` = a new one (default) */
  readonly dataDisk?: 'none' | 'keep' | 'blank';
  /** bytes, default 4 GiB (sparse) */
  readonly dataDiskSize?: number;
  /** further disks behind data disk and share: /dev/vdd, ... */
  readonly extraDisks?: readonly Disk[];
  readonly memoryMiB?: number;
  readonly cpus?: number;
  /**
   * Go on from a guest that was frozen when its file systems were there and nothing else had started (see thaw.ts). Without
   * a frozen guest that works, the VM boots as far as that.
   */
  readonly thaw?: boolean;
  /** appended to the kernel command line */
  readonly kernelArgs?: readonly string[];
  /** guest TCP ports to forward from free ports of 127.0.0.1, default 8090 and 8080 */
  readonly guestPorts?: readonly number[];
  readonly forwards?: readonly Forward[];
  readonly network?: 'host' | 'open';
  /** talk with the guest over AF_VSOCK; needs the program vhost-device-vsock, see `vsockDevice` */
  readonly vsock?: boolean;
  /** services of this host that the guest may reach */
  readonly services?: readonly GuestService[];
  /** further arguments of QEMU, where a test plays a hostile host */
  readonly hostile?: readonly string[];
  readonly onEvent?: (event: HostEvent) => void;
  readonly onLine?: (line: string) => void;
}

export const DEFAULT_MEMORY_MIB = 2048;
export const DEFAULT_CPUS = 2;
