/** How the data disk is kept (dstack kernel parameters; app-compose storage_fs, swap_size): encrypted or not, zfs or ext4. */
import { DstackError } from '../errors.ts';

export type FileSystem = 'zfs' | 'ext4';

export interface StorageOptions {
  readonly encrypted: boolean;
  readonly fs: FileSystem;
  /** what differs from encrypted zfs, in words: a verifier or an operator should see it */
  readonly departsFromDefault: readonly string[];
}

/** What is needed of the parsed kernel command line: values without their names. */
export interface CmdlineReader {
  first(name: string): string | undefined;
  last(name: string): string | undefined;
}

const YES = ['1', 'true', 'yes', 'on'];
const NO = ['0', 'false', 'no', 'off'];

/** What app-compose.json says about the data disk. */
export interface ComposeStorage {
  readonly storageFs?: string;
  /** bytes of swap, 0 for none */
  readonly swapSize: number;
}

/**
 * Decides from the kernel command line and app-compose.json (whose storage_fs wins).
 * The last occurrence of a parameter counts: the boot loader appends.
 *
 * Swap lies on the data disk. Without encryption the kernel would write pages of memory, keys among them, where the host
 * reads them, so the two together are refused. A swap with a key of its own does not help: a file on ext4 would need a
 * loop device under dm-crypt, which takes memory just when there is none.
 * @throws STORAGE_OPTION_INVALID
 */
export function storageOptions(cmdline: Pick<CmdlineReader, 'last'>, compose: ComposeStorage): StorageOptions {
  const { storageFs: composeFs, swapSize } = compose;
  const encryptedText = cmdline.last('dstack.storage_encrypted');
  const fsText = cmdline.last('dstack.storage_fs');
  const encrypted = encryptedText === undefined ? true : parseSwitch(encryptedText);
  // the parameter is checked even when app-compose overrules it: a typing error should not wait for another app
  const bootFs = fsText === undefined ? 'zfs' : parseFs(fsText, 'dstack.storage_fs');
  const fs = composeFs === undefined ? bootFs : parseFs(composeFs, 'storage_fs');
  if (!encrypted && swapSize > 0) {
    throw new DstackError('STORAGE_OPTION_INVALID', `swap_size ${swapSize} on a data disk that is not encrypted`, {
      field: 'swap_size',
      value: String(swapSize),
      hint: 'the host would read the memory of the guest: leave swap_size out, or let the image encrypt the disk',
    });
  }
  return {
    encrypted,
    fs,
    departsFromDefault: [...(encrypted ? [] : ['not encrypted']), ...(fs === 'zfs' ? [] : [fs])],
  };
}

function parseSwitch(text: string): boolean {
  const word = text.toLowerCase();
  if (YES.includes(word)) return true;
  if (NO.includes(word)) return false;
  throw invalid('dstack.storage_encrypted', text, '1 or 0');
}

function parseFs(text: string, field: string): FileSystem {
  const word = text.toLowerCase();
  if (word === 'zfs' || word === 'ext4') return word;
  throw invalid(field, text, 'zfs or ext4');
}

function invalid(field: string, value: string, wanted: string): DstackError {
  return new DstackError('STORAGE_OPTION_INVALID', `${field} ${JSON.stringify(value)} is not ${wanted}`, {
    field,
    value,
  });
}
