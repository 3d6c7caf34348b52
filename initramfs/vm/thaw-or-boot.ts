/** A guest that should be thawed comes up in any case: what cannot be frozen or thawed is said, and then it boots. */
import { dirname } from 'node:path';
import { removeTree } from '../lib/cache.ts';
import type { ConsoleLog } from './console.ts';

export interface Ways<T> {
  /** the file of the frozen guest, as `ensureFrozen` returns it */
  readonly frozen: () => Promise<string>;
  readonly thaw: (frozen: string) => Promise<T>;
  readonly boot: () => Promise<T>;
}

/** How `npm test` counts the guests that booted although they should have been thawed. */
export const BOOTED_INSTEAD = 'no thawed guest, it is booted instead';

/**
 * Thaws the guest. When that fails the reason is said on stderr and on the console, the frozen guest is removed, so that
 * the next one is frozen again, and this one boots.
 */
export async function thawOrBoot<T>(ways: Ways<T>, console: Pick<ConsoleLog, 'append'>): Promise<T> {
  let frozen: string | undefined;
  try {
    frozen = await ways.frozen();
    return await ways.thaw(frozen);
  } catch (thrown) {
    if (frozen !== undefined) await removeTree(dirname(frozen));
    const said = `${BOOTED_INSTEAD}: ${(thrown as Error).message}`;
    process.stderr.write(`${said}\n`);
    console.append(Buffer.from(`${said}\n`), 'qemu');
  }
  return ways.boot();
}
