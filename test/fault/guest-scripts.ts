/** What runs in the guest of a power cut trial. */
import type { FileSystem } from '../../src/config/storage-options.ts';

export const KEY = '5a'.repeat(32);
const DEVICE = '/dev/sda';
const JOURNAL = '/run/m/journal';
/** makes entries longer than a sector, so that one can be there in part */
const FILL = '0123456789abcdef'.repeat(40);

/** A line of the journal. */
export const entry = (number: number): string => `entry ${number} ${FILL}`;

/** Opens the volume as a boot does; its last line says what became of it. */
export const openScript = (fs: FileSystem): string =>
  [
    `for i in $(seq 200); do [ -b ${DEVICE} ] && break; sleep 0.05; done`,
    `echo ${KEY} | dstack-util fde open --create --device ${DEVICE} --key-file - --fs ${fs} --mount-point /run/m`,
  ].join('\n');

/** Appends entries and says on the console which are on the disk; in between it writes what nobody waits for. */
export const writerScript = (from: number, fsync: boolean): string =>
  [
    `n=${from}`,
    'while :; do',
    '  head -c 60000 /dev/urandom >/run/m/noise.$((n % 7))',
    `  echo "entry $n ${FILL}" >>${JOURNAL}`,
    fsync ? `  sync ${JOURNAL} || exit` : '',
    '  echo "acknowledged $n" >/dev/ttyS0',
    '  n=$((n + 1))',
    'done',
  ].join('\n');

export const readScript = `[ ! -e ${JOURNAL} ] || cat ${JOURNAL}`;
