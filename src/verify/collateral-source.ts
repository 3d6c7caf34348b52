/** Where collateral comes from: a file, a PCS or PCCS, or what was fetched before. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { toHex } from '../codec/hex.ts';
import { DstackError } from '../errors.ts';
import { ifExists, readLimited, writeAtomic } from '../sys/files.ts';
import * as ui from '../ui.ts';
import type { Certificate } from '../x509/x509.ts';
import { COLLATERAL_LIMIT, type Collateral, parseCollateral } from './collateral-format.ts';
import type { PckPlatform } from './pck.ts';
import { fetchCollateral } from './pcs-client.ts';
import type { FoundCollateral } from './quote-check.ts';

export interface SourceOptions {
  /** file or http(s) URL; without it the cache */
  readonly from?: string | undefined;
  readonly root: Certificate;
  /** folder of the cache, default below the user's cache folder */
  readonly cacheDir?: string;
}

export const defaultCacheDir = (env: NodeJS.ProcessEnv = process.env): string =>
  join(env['XDG_CACHE_HOME'] || join(env['HOME'] || '/root', '.cache'), 'dstack-util/collateral');

/** @throws COLLATERAL_UNAVAILABLE, COLLATERAL_INVALID; the finder of `verifyEvidence` */
export const collateralFrom =
  (options: SourceOptions) =>
  async (platform: PckPlatform | undefined): Promise<FoundCollateral> => {
    const { from, root, cacheDir = defaultCacheDir() } = options;
    if (from !== undefined && !/^https?:\/\//.test(from)) return fromFile(from);
    if (platform === undefined) {
      const why = 'the quote carries no PCK chain: name a collateral file that has pck_certificate_chain';
      throw new DstackError('COLLATERAL_UNAVAILABLE', why);
    }
    const path = join(cacheDir, `${cacheName(platform, root)}.json`);
    if (from === undefined) return fromCache(path, platform);
    const collateral = await fetchCollateral(from, platform, root);
    await keep(path, collateral);
    return { collateral, source: from };
  };

/** Platforms of one kind share collateral; another root has another world. */
function cacheName({ fmspc, pceId, ca }: PckPlatform, root: Certificate): string {
  return `${fmspc}-${pceId}-${ca}-${toHex(createHash('sha256').update(root.der).digest()).slice(0, 16)}`;
}

async function fromFile(path: string): Promise<FoundCollateral> {
  let bytes: Uint8Array;
  try {
    bytes = await readLimited(await fs.realpath(path), COLLATERAL_LIMIT, path);
  } catch (thrown) {
    throw new DstackError('COLLATERAL_UNAVAILABLE', `collateral file ${path} cannot be read`, { path, cause: thrown });
  }
  return { collateral: parseCollateral(bytes, path), source: path };
}

async function fromCache(path: string, { fmspc }: PckPlatform): Promise<FoundCollateral> {
  const bytes = await ifExists(() => readLimited(path, COLLATERAL_LIMIT));
  if (bytes === undefined) {
    const why = `no collateral was given, and none is cached for platform ${fmspc}: name a file or a URL with --collateral`;
    throw new DstackError('COLLATERAL_UNAVAILABLE', why, { path });
  }
  return { collateral: parseCollateral(bytes, path), source: `cache ${path}` };
}

/** Keeping it is a convenience: a folder that cannot be written to does not stop us. */
async function keep(path: string, collateral: Collateral): Promise<void> {
  try {
    await fs.mkdir(join(path, '..'), { recursive: true, mode: 0o700 });
    await writeAtomic(path, `${JSON.stringify(collateral, null, 2)}\n`, 0o600);
  } catch (thrown) {
    ui.debug(`collateral is not kept in ${path}: ${String(thrown)}`);
  }
}
