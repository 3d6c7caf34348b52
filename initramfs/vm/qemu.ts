/** The QEMU command line of one VM, as a pure function of what the VM consists of. */

/** The guest reaches the runner's host API here; nothing else exists outside the guest when the network is restricted. */
export const HOST_API_ADDRESS = '10.0.2.100';
export const HOST_API_URL = `http://${HOST_API_ADDRESS}:80/api`;

/** Name of the virtio-serial port that carries the development shell. */
export const SHELL_PORT = 'org.dstack.shell';

export interface Forward {
  /** TCP port in the guest */
  readonly guest: number;
  /** TCP port on 127.0.0.1 of the host */
  readonly host: number;
}

/** A service on 127.0.0.1 of the host that the guest reaches under an address of its own, also when the network is restricted. */
export interface GuestService {
  /** IPv4 address inside 10.0.2.0/24 */
  readonly address: string;
  /** TCP port at that address */
  readonly port: number;
  /** TCP port on 127.0.0.1 of the host */
  readonly host: number;
}

export interface Disk {
  /** raw image file */
  readonly file: string;
  readonly readOnly?: boolean;
}

export interface QemuConfig {
  readonly accelerator: 'kvm' | 'tcg';
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly kernel: string;
  readonly initrd: string;
  readonly cmdline: string;
  /** in the order of their names in the guest: /dev/vda, /dev/vdb, ... */
  readonly disks: readonly Disk[];
  /** a folder shown as the read-only 9p share `host-shared` */
  readonly share9p?: string;
  readonly forwards: readonly Forward[];
  readonly services?: readonly GuestService[];
  /** `host`: the guest reaches the host API, `services` and nothing else; `open`: the guest also reaches the internet */
  readonly network: 'host' | 'open';
  /** unix sockets: QEMU listens on the first two, the runner on the third */
  readonly sockets: { readonly qmp: string; readonly shell: string; readonly hostApi: string };
  /** unix socket of a vhost-user vsock device; QEMU connects */
  readonly vsock?: string;
  /** further arguments of QEMU, where a test plays a hostile host */
  readonly hostile?: readonly string[];
  /** a machine that can be frozen: it has the first disk only, and slots into which the others are plugged while it runs */
  readonly freezable?: boolean;
  /** file of a frozen machine, which goes on running instead of a boot */
  readonly frozen?: string;
}

/** PCI slots of the disks: fixed, so that a missing disk does not move the others in an unexpected way. */
const FIRST_DISK_SLOT = 0x4;
const MAX_DISKS = 8;

/** The port into which the disk of that index (1 to 7) is plugged. */
export const diskPort = (index: number): string => `port${index}`;

/** A value inside a comma-separated QEMU option. */
const value = (text: string): string => text.replaceAll(',', ',,');

/** The argv of QEMU. The serial console is its stdin and stdout, its own messages go to stderr. */
export function qemuArgv(config: QemuConfig): string[] {
  if (config.disks.length > MAX_DISKS) throw new Error(`at most ${MAX_DISKS} disks, not ${config.disks.length}`);
  return [
    'qemu-system-x86_64',
    ...['-nodefaults', '-no-user-config', '-no-reboot'],
    ...['-display', 'none', '-monitor', 'none', '-serial', 'stdio'],
    ...machine(config),
    // what `dmidecode` of a real dstack VM says: the guest recognises its platform by the product name
    ...['-smbios', 'type=1,manufacturer=Dstack,product=dstack'],
    ...['-kernel', config.kernel, '-initrd', config.initrd, '-append', config.cmdline],
    ...config.disks.slice(0, config.freezable ? 1 : MAX_DISKS).flatMap(disk),
    ...(config.freezable ? freezable(config.frozen) : []),
    ...(config.share9p === undefined ? [] : share9p(config.share9p)),
    ...['-device', 'virtio-rng-pci'],
    ...network(config),
    ...(config.vsock === undefined ? [] : vsock(config.vsock)),
    ...['-chardev', `socket,id=shell,path=${value(config.sockets.shell)},server=on,wait=off`],
    ...['-device', 'virtio-serial-pci', '-device', `virtserialport,chardev=shell,name=${SHELL_PORT}`],
    ...['-qmp', `unix:${value(config.sockets.qmp)},server=on,wait=off`],
    ...(config.hostile ?? []),
  ];
}

function machine({ accelerator, cpus, memoryMiB, vsock: device }: QemuConfig): string[] {
  const sized = ['-smp', String(cpus), '-m', String(memoryMiB)];
  // a vhost-user device is another process, which must see the memory of the guest
  if (device !== undefined) {
    sized.push('-object', `memory-backend-memfd,id=memory,size=${memoryMiB}M,share=on`);
    sized.push('-machine', 'memory-backend=memory');
  }
  if (accelerator === 'kvm') return ['-machine', 'q35', '-accel', 'kvm', '-cpu', 'host', ...sized];
  // a large translation buffer saves retranslating the JIT-heavy guest; EPYC is the newest model TCG covers well
  return ['-machine', 'q35', '-accel', 'tcg,thread=multi,tb-size=512', '-cpu', 'EPYC', ...sized];
}

function disk({ file, readOnly }: Disk, index: number): string[] {
  const id = `disk${index}`;
  // unsafe: the guest's flushes are not passed on; a VM made for trying things out may lose its data with its host
  const access = readOnly ? 'readonly=on' : 'cache=unsafe,discard=unmap';
  return [
    ...['-drive', `if=none,id=${id},file=${value(file)},format=raw,${access}`],
    ...['-device', `virtio-blk-pci,drive=${id},addr=0x${(FIRST_DISK_SLOT + index).toString(16)}`],
  ];
}

/** Slots for disks; a new generation id in each life, for which the kernel mixes new random numbers. */
function freezable(frozen: string | undefined): string[] {
  const ports = Array.from({ length: MAX_DISKS - 1 }, (_, index) => [
    '-device',
    `pcie-root-port,id=${diskPort(index + 1)},chassis=${index + 1},addr=0x${(FIRST_DISK_SLOT + 1 + index).toString(16)}`,
  ]);
  return [
    ...ports.flat(),
    ...['-device', 'vmgenid,guid=auto'],
    ...(frozen === undefined ? [] : ['-incoming', `file:${frozen}`]),
  ];
}

function share9p(dir: string): string[] {
  return ['-virtfs', `local,path=${value(dir)},mount_tag=host-shared,security_model=none,readonly=on`];
}

function vsock(path: string): string[] {
  return ['-chardev', `socket,id=vsock,path=${value(path)}`, '-device', 'vhost-user-vsock-pci,chardev=vsock'];
}

function network({ forwards, services = [], network, sockets }: QemuConfig): string[] {
  const user = [
    'user,id=net0,ipv6=off',
    `restrict=${network === 'host' ? 'on' : 'off'}`,
    ...forwards.map(({ guest, host }) => `hostfwd=tcp:127.0.0.1:${host}-:${guest}`),
    `guestfwd=tcp:${HOST_API_ADDRESS}:80-cmd:${value(`socat STDIO UNIX-CONNECT:${sockets.hostApi}`)}`,
    ...services.map(
      ({ address, port, host }) => `guestfwd=tcp:${address}:${port}-cmd:socat STDIO TCP:127.0.0.1:${host}`,
    ),
  ];
  return ['-netdev', user.join(','), '-device', 'virtio-net-pci,netdev=net0,romfile='];
}
