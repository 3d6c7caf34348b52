/** Writes tar archives (POSIX ustar) whose bytes depend on their content only. */

export type TarEntry =
  | { readonly path: string; readonly type: 'file'; readonly mode: number; readonly data: Uint8Array }
  | { readonly path: string; readonly type: 'directory'; readonly mode: number }
  | { readonly path: string; readonly type: 'symlink'; readonly target: string };

const BLOCK = 512;
const NAME_LIMIT = 100;
const TYPE = { file: '0', symlink: '2', directory: '5' } as const;

/** One archive of the entries, in path order; owner root, one time stamp (seconds since the epoch) for all. */
export function tar(entries: readonly TarEntry[], mtime: number): Uint8Array {
  const sorted = [...entries].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  const parts: Uint8Array[] = [];
  for (const entry of sorted) {
    parts.push(header(entry, mtime));
    if (entry.type === 'file') parts.push(entry.data, new Uint8Array(padding(entry.data.length)));
  }
  parts.push(new Uint8Array(2 * BLOCK)); // two empty blocks end an archive
  return Buffer.concat(parts);
}

const padding = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;

function header(entry: TarEntry, mtime: number): Uint8Array {
  const block = Buffer.alloc(BLOCK);
  const path = entry.type === 'directory' ? `${entry.path}/` : entry.path;
  const target = entry.type === 'symlink' ? entry.target : '';
  for (const [what, name] of Object.entries({ path, target })) {
    if (Buffer.byteLength(name) > NAME_LIMIT) throw new Error(`tar: ${what} longer than ${NAME_LIMIT} bytes: ${name}`);
  }
  const octal = (value: number, offset: number, width: number) =>
    block.write(`${value.toString(8).padStart(width - 1, '0')}\0`, offset, 'ascii');
  block.write(path, 0);
  octal(entry.type === 'symlink' ? 0o777 : entry.mode, 100, 8);
  octal(0, 108, 8); // user
  octal(0, 116, 8); // group
  octal(entry.type === 'file' ? entry.data.length : 0, 124, 12);
  octal(mtime, 136, 12);
  block.fill(' ', 148, 156); // the checksum counts its own field as spaces
  block.write(TYPE[entry.type], 156);
  block.write(target, 157);
  block.write('ustar\u000000', 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'ascii');
  return block;
}
