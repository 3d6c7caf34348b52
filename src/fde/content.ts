/** What a device holds, from the outside. Nothing here writes. */
import { DstackError } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import { exists } from '../sys/files.ts';
import { firstData } from './blank.ts';
import type { DiskMachine } from './disk-machine.ts';
import { tornSuperblock } from './ext4-superblock.ts';
import { sizeInBytes } from './sysfs.ts';

export type Content =
  | { readonly kind: 'zfs' | 'ext4' | 'blank' }
  /** `uuid` as the first header copy says it; damaged or foreign headers have any text or none */
  | { readonly kind: 'luks'; readonly uuid: string }
  /**
   * `seen` names it for people: signatures, or where the first unexplained byte is. `foreign`: it bears the signature
   * of somebody else's format, so it cannot be the remains of an interrupted format of ours. `table`: the signatures are
   * those of partition tables alone
   */
  | { readonly kind: 'unknown'; readonly seen: string; readonly foreign: boolean; readonly table?: boolean };

const LUKS_MAGIC = '4c554b53babe';

/** Magic, version, UUID: the first sector of a LUKS header, so they are of one moment. */
const HEAD_SIZE = 512;
const UUID_AT = 168;
const UUID_SIZE = 40;

/**
 * Finds out what a device holds. `blank` is only said after the proof of blank.ts.
 * @param unfinished the device bears the mark of an interrupted first boot: the proof would fail, it is left out
 * @throws DISK_NOT_FOUND, FILE_IO, COMMAND_FAILED
 */
export async function deviceContent(
  device: string,
  machine: DiskMachine,
  { unfinished = false } = {},
): Promise<Content> {
  if (!(await exists(device))) {
    if (isDryRun()) return { kind: 'blank' }; // a partition this run would have created
    throw new DstackError('DISK_NOT_FOUND', `device ${device} does not exist`, { path: device });
  }
  const head = Buffer.from(await machine.read(device, 0, HEAD_SIZE));
  if (head.toString('hex', 0, LUKS_MAGIC.length / 2) === LUKS_MAGIC) {
    return { kind: 'luks', uuid: head.toString('latin1', UUID_AT, UUID_AT + UUID_SIZE).replace(/\0[\s\S]*$/, '') };
  }

  const type = await fileSystemType(device, machine);
  if (type === 'zfs_member') return { kind: 'zfs' };
  if (type === 'ext4') return { kind: 'ext4' };
  // libblkid looks at the checksum of a superblock, so it does not know a torn one
  if (type === '' && (await tornSuperblock(device, machine)) !== undefined) return { kind: 'ext4' };

  const signatures = await listSignatures(device, machine);
  if (signatures.length > 0 || type !== '') {
    const seen = signatures.length > 0 ? signatures.join(', ') : type;
    const every = (pattern: RegExp): boolean => signatures.every((entry) => pattern.test(entry));
    const table = signatures.length > 0 && every(/^(gpt|PMBR) /);
    return { kind: 'unknown', seen, foreign: !every(/^crypto_LUKS /), table };
  }
  if (unfinished) return { kind: 'unknown', seen: 'an unfinished volume', foreign: false };
  const at = await firstData(device, await sizeInBytes(device, machine));
  return at === undefined ? { kind: 'blank' } : { kind: 'unknown', seen: `unknown data at byte ${at}`, foreign: false };
}

/**
 * The type libblkid sees (`ext4`, `zfs_member`, `crypto_LUKS`, ...), empty for none.
 * Several contradicting signatures count as the type `ambivalent`.
 */
export async function fileSystemType(device: string, machine: DiskMachine): Promise<string> {
  // blkid(8): 2 = nothing found, 8 = ambivalent result. -p: ask the device, never a cache
  const { exit, stdout } = await machine.run('blkid', ['-p', '-o', 'export', device], {
    ok: [0, 2, 8],
    readOnly: true,
  });
  if (exit === 8) return 'ambivalent';
  return /^TYPE=(.*)$/m.exec(stdout)?.[1] ?? '';
}

/** All signatures as `type at byte offset`. */
export async function listSignatures(device: string, machine: DiskMachine): Promise<string[]> {
  const { stdout } = await machine.run('wipefs', ['--no-act', '--json', device], { readOnly: true });
  if (stdout.trim() === '') return []; // util-linux before 2.38 prints nothing at all
  const { signatures } = JSON.parse(stdout) as { signatures: { type: string; offset: string }[] };
  return signatures.map(({ type, offset }) => `${type} at byte ${Number(offset)}`);
}
