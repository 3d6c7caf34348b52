/** Copies the host-shared files into the guest's memory once, with limits; the guest never looks at the share again. */

import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { APP_COMPOSE_LIMIT } from '../../config/app-compose.ts';
import { HOST_SHARED } from '../../config/paths.ts';
import { DstackError } from '../../errors.ts';
import { effect } from '../../sys/effects.ts';
import { ifExists, makeDir, readLimited, writeAtomic } from '../../sys/files.ts';
import { SYS_CONFIG_LIMIT } from '../host-share.ts';

const MIB = 1024 * 1024;

interface Rule {
  readonly required: boolean;
  /** largest accepted size in bytes */
  readonly limit: number;
  /** final mode of the copy */
  readonly mode: number;
}

/** The files `setup` copies (dstack formats, host-shared directory). Everything else on the share is ignored. */
export const HOST_FILES = {
  // first, because it says where to report what is wrong with the others
  sysConfig: { required: true, limit: SYS_CONFIG_LIMIT, mode: 0o644 },
  appCompose: { required: true, limit: APP_COMPOSE_LIMIT, mode: 0o644 },
  instanceInfo: { required: false, limit: 10 * 1024, mode: 0o644 },
  encryptedEnv: { required: false, limit: 256 * 1024, mode: 0o600 },
  userConfig: { required: false, limit: 50 * MIB, mode: 0o644 },
} as const satisfies Partial<Record<keyof typeof HOST_SHARED, Rule>>;

export type HostFileName = keyof typeof HOST_FILES;
export type HostFiles = Readonly<Partial<Record<HostFileName, Uint8Array>>>;

/** Reads one file of the share; undefined when an optional one is missing. */
async function readHostFile(source: string, name: HostFileName): Promise<Uint8Array | undefined> {
  const { required, limit } = HOST_FILES[name];
  const path = join(source, HOST_SHARED[name]);
  if (!required) return ifExists(() => readLimited(path, limit));
  try {
    return await readLimited(path, limit);
  } catch (thrown) {
    if (!(thrown instanceof DstackError) || thrown.code !== 'FILE_NOT_FOUND') throw thrown;
    throw new DstackError('FILE_NOT_FOUND', `source file ${HOST_SHARED[name]} does not exist`, {
      path,
      hint: 'the host must put this file on the share',
    });
  }
}

/**
 * Copies the share. What setup uses later is what was read here, once: a host that changes a file afterwards changes nothing.
 * @param take is called after each file, so that the address of the host is known before a later file fails
 * @returns the bytes by name
 * @throws FILE_NOT_FOUND, FILE_NOT_REGULAR (symbolic link), FILE_TOO_LARGE, FILE_IO
 */
export async function copyHostFiles(
  source: string,
  target: string,
  take: (name: HostFileName, bytes: Uint8Array) => void = () => {},
): Promise<HostFiles> {
  await makeDir(target);
  const files: Partial<Record<HostFileName, Uint8Array>> = {};
  for (const name of Object.keys(HOST_FILES) as HostFileName[]) {
    const bytes = await readHostFile(source, name);
    const copy = join(target, HOST_SHARED[name]);
    if (bytes === undefined) {
      // an older copy must not pass for what the host gives today
      if ((await ifExists(() => fs.lstat(copy))) !== undefined) {
        await effect(`remove ${copy}`, undefined, () => fs.rm(copy));
      }
      continue;
    }
    if (source !== target) await writeAtomic(copy, bytes, HOST_FILES[name].mode);
    files[name] = bytes;
    take(name, bytes);
  }
  return files;
}
