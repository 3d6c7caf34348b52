/** The text form of `fde status`. */
import { printable } from '../ui.ts';
import type { DiskStatus } from './status.ts';

/** One line a fact, label and value; an absent fact has no line. */
export function statusText(status: DiskStatus): string {
  const { partition, mark, content, header } = status;
  const rows: [string, string][] = [
    ['device', `${status.device} (${(status.size / 1024 ** 3).toFixed(2)} GiB)`],
    [
      'partition',
      partition === null
        ? 'none, the whole disk'
        : `${partition.number} of ${partition.disk}, ${partition.label || 'no name'}`,
    ],
    ['holds', content.kind === 'unknown' ? content.seen : HOLDS[content.kind]],
  ];
  if (mark?.initialising) rows.push(['mark', 'initialising: was never ready, the next boot makes it again']);
  if (mark?.ephemeral) rows.push(['mark', 'ephemeral: says that its keys ended with the boot that made it']);
  if (header !== null) {
    rows.push(['header', header.accepted ? `accepted, uuid ${header.uuid}` : `rejected: ${header.reason}`]);
    rows.push(['key slots', header.keySlots === null ? 'unknown' : `${header.keySlots}`]);
  }
  rows.push(['mapping', status.mapper ?? 'not open']);
  if (status.fileSystem !== '') rows.push(['file system', status.fileSystem]);
  rows.push(['mounted', status.mountPoints.join(', ') || 'no']);
  return rows.map(([label, value]) => `${label.padEnd(12)} ${printable(value)}`).join('\n');
}

const HOLDS = {
  luks: 'an encrypted volume (LUKS)',
  zfs: 'an unencrypted zfs volume',
  ext4: 'an unencrypted ext4 volume',
  blank: 'nothing: it is blank',
} as const;
