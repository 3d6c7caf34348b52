/** The cache folder: artefacts named by the hash of what went into them, published by one rename. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, lstat, mkdir, mkdtemp, readdir, readlink, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './run.ts';

/** The repository root. */
export const projectRoot = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

/** Everything a build may reuse; git-ignored, safe to delete at any time. */
export const cacheRoot = join(projectRoot, '.cache');

const lockDir = join(cacheRoot, 'locks');

/** A short key over any JSON-able description of inputs. */
export function keyOf(...inputs: unknown[]): string {
  return createHash('sha256').update(JSON.stringify(inputs)).digest('hex').slice(0, 16);
}

/** SHA-256 of a file's content. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** SHA-256 over names, modes, link targets and contents of a folder; independent of times and of listing order. */
export async function hashTree(dir: string): Promise<string> {
  const hash = createHash('sha256');
  const walk = async (path: string, name: string): Promise<void> => {
    const info = await lstat(path);
    hash.update(`${name}\0${(info.mode & 0o7777).toString(8)}\0`);
    if (info.isSymbolicLink()) hash.update(`link ${await readlink(path)}\0`);
    else if (info.isDirectory()) {
      hash.update('dir\0');
      for (const child of (await readdir(path)).sort()) await walk(join(path, child), `${name}/${child}`);
    } else hash.update(`file ${await hashFile(path)}\0`);
  };
  await walk(dir, '.');
  return hash.digest('hex');
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/**
 * Returns the folder `.cache/<kind>/<key>`, building it first when it is missing. The work happens in a temporary
 * folder on the same filesystem that is renamed when complete, so an interrupted build is never taken for a good one.
 * Of two processes that want the same artefact one builds and the other waits; different ones do not hinder each other.
 */
export async function cached(kind: string, key: string, build: (dir: string) => Promise<void>): Promise<string> {
  const final = join(cacheRoot, kind, key);
  if (!(await exists(final))) {
    await withLock(`${kind}-${key}`, async () => {
      if (!(await exists(final))) await buildAndPublish(final, build);
    });
  }
  const now = new Date();
  await utimes(final, now, now); // the age that pruning looks at is the last use
  return final;
}

async function buildAndPublish(final: string, build: (dir: string) => Promise<void>): Promise<void> {
  const temp = await tempDir();
  try {
    await build(temp);
    await mkdir(dirname(final), { recursive: true });
    await rename(temp, final);
  } catch (error) {
    await removeTree(temp);
    throw error;
  }
}

/** Whether `.cache/<kind>/<key>` is there already. */
export async function isCached(kind: string, key: string): Promise<boolean> {
  return exists(join(cacheRoot, kind, key));
}

/** A fresh folder below the cache, on the same filesystem as the artefacts; its name tells whose it is. */
export async function tempDir(): Promise<string> {
  const base = join(cacheRoot, 'tmp');
  await mkdir(base, { recursive: true });
  return mkdtemp(join(base, `${process.pid}-`));
}

/** Removes a folder of any size; `rm` is much faster than a recursive walk in JavaScript. */
export async function removeTree(path: string): Promise<void> {
  await run(['rm', '-rf', '--one-file-system', '--', path]);
}

// Another process may be about to use what it has just found, or run a machine from it; its files stay open then.
const pruneAgeMs = 900_000;

/** Keeps the `keep` most recently used entries of a kind, and whatever was used within the last quarter of an hour. */
export async function prune(kind: string, keep: number): Promise<void> {
  const dir = join(cacheRoot, kind);
  if (!(await exists(dir))) return;
  const names = await readdir(dir);
  const entries = await Promise.all(names.map(async (name) => ({ name, used: (await stat(join(dir, name))).mtimeMs })));
  entries.sort((a, b) => b.used - a.used);
  for (const { name, used } of entries.slice(keep)) {
    if (Date.now() - used < pruneAgeMs) continue;
    await removeTree(join(dir, name));
    await rm(join(lockDir, `${kind}-${name}`), { force: true });
  }
}

/** Removes the temporary folders of builds that were interrupted. */
async function removeLeftovers(): Promise<void> {
  const base = join(cacheRoot, 'tmp');
  for (const name of await readdir(base).catch(() => [])) {
    if (!(await exists(`/proc/${name.split('-')[0]}`))) await removeTree(join(base, name));
  }
}

/**
 * Runs `work` while holding the lock of that name. A helper process holds an flock for as long as its stdin is open, so the
 * kernel releases the lock whatever way this process ends.
 */
export async function withLock<T>(name: string, work: () => Promise<T>, onWait?: () => void): Promise<T> {
  await mkdir(lockDir, { recursive: true });
  const holder = spawn('flock', ['--no-fork', join(lockDir, name), 'sh', '-c', 'echo held; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const waiting = setTimeout(() => onWait?.(), 500);
  try {
    await new Promise<void>((held, failed) => {
      holder.once('error', failed);
      holder.once('exit', (code) => failed(new Error(`cannot lock ${cacheRoot}: flock exited with ${code}`)));
      holder.stdout.once('data', () => held());
    });
    clearTimeout(waiting);
    await removeLeftovers();
    return await work();
  } finally {
    clearTimeout(waiting);
    holder.stdin.end();
  }
}
