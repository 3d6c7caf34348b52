/** What a device holds, from the outside. Nothing here writes. */
import * as fs from 'node:fs/promises';
import { DstackError } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import { ifExists } from '../sys/files.ts';
import { firstData } from './blank.ts';
import { type Surface, SYSTEM } from './surface.ts';
import { sizeInBytes } from './sysfs.ts';

export type Content =
  | { readonly kind: 'luks' | 'zfs' | 'ext4' | 'blank' }
  /**
   * `seen` names it for people: signatures, or where the first unexplained byte is. `foreign`: it bears the signature
   * of somebody else's format, so it cannot be the remains of an interrupted format of ours
   */
  | { readonly kind: 'unknown'; readonly seen: string; readonly foreign: boolean };

const LUKS_MAGIC = '4c554b53babe';

/**
 * Finds out what a device holds. `blank` is only said after the proof of blank.ts.
 * @throws DISK_NOT_FOUND, FILE_IO, COMMAND_FAILED
 */
export async function deviceContent(device: string, surface: Surface = SYSTEM): Promise<Content> {
  const head = await readHead(device);
  if (head === undefined) {
    if (isDryRun()) return { kind: 'blank' }; // a partition this run would have created
    throw new DstackError('DISK_NOT_FOUND', `device ${device} does not exist`, { path: device });
  }
  if (Buffer.from(head).toString('hex') === LUKS_MAGIC) return { kind: 'luks' };

  const type = await fileSystemType(device, surface);
  if (type === 'zfs_member') return { kind: 'zfs' };
  if (type === 'ext4') return { kind: 'ext4' };

  const signatures = await listSignatures(device, surface);
  if (signatures.length > 0 || type !== '') {
    const seen = signatures.length > 0 ? signatures.join(', ') : type;
    return { kind: 'unknown', seen, foreign: !signatures.every((entry) => entry.startsWith('crypto_LUKS')) };
  }
  const at = await firstData(device, await sizeInBytes(device, surface));
  return at === undefined ? { kind: 'blank' } : { kind: 'unknown', seen: `unknown data at byte ${at}`, foreign: false };
}

/**
 * The type libblkid sees (`ext4`, `zfs_member`, `crypto_LUKS`, ...), empty for none.
 * Several contradicting signatures count as the type `ambivalent`.
 */
export async function fileSystemType(device: string, surface: Surface = SYSTEM): Promise<string> {
  // blkid(8): 2 = nothing found, 8 = ambivalent result. -p: ask the device, never a cache
  const { exit, stdout } = await surface.run('blkid', ['-p', '-o', 'export', device], {
    ok: [0, 2, 8],
    readOnly: true,
  });
  if (exit === 8) return 'ambivalent';
  return /^TYPE=(.*)$/m.exec(stdout)?.[1] ?? '';
}

/** All signatures as `type at byte offset`. */
export async function listSignatures(device: string, surface: Surface = SYSTEM): Promise<string[]> {
  const { stdout } = await surface.run('wipefs', ['--no-act', '--json', device], { readOnly: true });
  if (stdout.trim() === '') return []; // util-linux before 2.38 prints nothing at all
  const { signatures } = JSON.parse(stdout) as { signatures: { type: string; offset: string }[] };
  return signatures.map(({ type, offset }) => `${type} at byte ${Number(offset)}`);
}

async function readHead(device: string): Promise<Uint8Array | undefined> {
  return ifExists(async () => {
    const handle = await fs.open(device, 'r');
    try {
      const bytes = new Uint8Array(LUKS_MAGIC.length / 2);
      await handle.read(bytes, 0, bytes.length, 0);
      return bytes;
    } finally {
      await handle.close();
    }
  });
}
