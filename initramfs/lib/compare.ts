/** Which file makes two images differ: for the person who has to find out why a build is not reproducible. */
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { hashFile, removeTree, tempDir } from './cache.ts';
import { runInTools } from './tools.ts';

const SHOWN = 20;

/** One line for each path that differs between two trees, with what differs; sorted, at most 20. */
export async function differingFiles(one: string, other: string): Promise<string[]> {
  const [left, right] = [await describeTree(one), await describeTree(other)];
  const found: string[] = [];
  for (const path of [...new Set([...left.keys(), ...right.keys()])].sort()) {
    const [a, b] = [left.get(path), right.get(path)];
    if (a === undefined || b === undefined) found.push(`${path}: only in the ${a ? 'first' : 'second'} build`);
    else if (a !== b) {
      const fields = a.split('\0').flatMap((value, i) => {
        const now = b.split('\0')[i] ?? '';
        return value === now ? [] : [`${FIELDS[i]} ${value} and ${now}`];
      });
      found.push(`${path}: ${fields.join(', ')}`);
    }
  }
  return found.length > SHOWN ? [...found.slice(0, SHOWN), `... and ${found.length - SHOWN} more`] : found;
}

const FIELDS = ['kind', 'mode', 'owner', 'time', 'content'];

async function describeTree(dir: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const name of await namesBelow(dir)) {
    const path = join(dir, name);
    const info = await lstat(path);
    const kind = info.isDirectory() ? 'folder' : info.isSymbolicLink() ? 'link' : info.isFile() ? 'file' : 'device';
    const content =
      kind === 'link'
        ? await readlink(path)
        : kind === 'file'
          ? (await hashFile(path)).slice(0, 16)
          : String(info.rdev);
    const mode = (info.mode & 0o7777).toString(8);
    found.set(`/${name}`, [kind, mode, `${info.uid}:${info.gid}`, Math.floor(info.mtimeMs / 1000), content].join('\0'));
  }
  return found;
}

/** Paths below a folder, itself as the empty one. A link is a name only: Bun's recursive `readdir` would follow it. */
async function namesBelow(dir: string, name = ''): Promise<string[]> {
  const names = [name];
  for (const entry of await readdir(join(dir, name), { withFileTypes: true })) {
    const below = join(name, entry.name);
    names.push(...(entry.isDirectory() ? await namesBelow(dir, below) : [below]));
  }
  return names;
}

/** The same for two root images: squashfs, whatever follows it. */
export async function differingInRoots(one: string, other: string): Promise<string[]> {
  const dir = await tempDir();
  try {
    for (const [name, file] of [
      ['one', one],
      ['other', other],
    ] as const)
      await runInTools(['unsquashfs', '-quiet', '-no-progress', '-dest', join(dir, name), file]);
    return await differingFiles(join(dir, 'one'), join(dir, 'other'));
  } finally {
    await removeTree(dir);
  }
}
