/**
 * The pages of our own program file that are in memory. Its start touches most of them, its work few: those that nobody
 * needs now are given back, and the kernel maps again at once what is used again (it is still in the page cache).
 */
import { readFile, readlink } from 'node:fs/promises';
import { native } from './native.ts';

export interface Mapping {
  /** addresses */
  readonly from: bigint;
  readonly to: bigint;
}

/**
 * The mappings of one file in the text of /proc/PID/smaps that cannot be written and hold no page that was changed
 * before they became so (relocations): exactly those lose nothing when their pages are dropped.
 */
export function unchangedMappings(smaps: string, file: string): Mapping[] {
  const found: Mapping[] = [];
  for (const block of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const [, from = '', to = '', rights = '', path] =
      /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ +(.*)$/m.exec(block) ?? [];
    if (path !== file || rights[0] !== 'r' || rights[1] !== '-' || rights[3] !== 'p') continue;
    if (/^Anonymous: +0 kB$/m.test(block)) found.push({ from: BigInt(`0x${from}`), to: BigInt(`0x${to}`) });
  }
  return found;
}

/** Gives back what can be read again. Does nothing where the calls are missing, that is outside the compiled binary. */
export async function releaseProgramPages(): Promise<void> {
  const calls = await native().catch(() => undefined);
  if (calls === undefined) return;
  const [smaps, file] = await Promise.all([readFile('/proc/self/smaps', 'utf8'), readlink('/proc/self/exe')]);
  for (const { from, to } of unchangedMappings(smaps, file)) calls.releaseMapping(from, to);
}
