/**
 * Every external program this binary ever starts. One table, so that a reader (and the image builder's package list)
 * sees at a glance what the guest image must contain. Nothing is started through a shell.
 */
export const PROGRAMS = {
  bash: 'bash',
  blkid: 'blkid',
  blockdev: 'blockdev',
  chronyc: 'chronyc',
  cryptsetup: 'cryptsetup',
  docker: 'docker',
  e2fsck: 'e2fsck',
  fallocate: 'fallocate',
  findmnt: 'findmnt',
  ip6tables: 'ip6tables',
  ip6tablesRestore: 'ip6tables-restore',
  iptables: 'iptables',
  iptablesRestore: 'iptables-restore',
  lsblk: 'lsblk',
  mkfsExt4: 'mkfs.ext4',
  mkswap: 'mkswap',
  modprobe: 'modprobe',
  mount: 'mount',
  nerdctl: 'nerdctl',
  nft: 'nft',
  nvattest: 'nvattest',
  nvidiaSmi: 'nvidia-smi',
  opa: 'opa',
  partx: 'partx',
  resize2fs: 'resize2fs',
  swapoff: 'swapoff',
  swapon: 'swapon',
  sync: 'sync',
  systemctl: 'systemctl',
  udevadm: 'udevadm',
  umount: 'umount',
  veritysetup: 'veritysetup',
  wg: 'wg',
  wgQuick: 'wg-quick',
  wipefs: 'wipefs',
  zfs: 'zfs',
  zpool: 'zpool',
} as const;

/** A name of the table. */
export type Program = keyof typeof PROGRAMS;

/** The only PATH children see; the caller's PATH is not trusted. */
export const SAFE_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
