/** /run/dstack/prepared.json: what `prepare` found out and how long it took, for `setup` in the next process. */
import { dirname } from 'node:path';
import { DstackError } from '../../errors.ts';
import { ifExists, makeDir, readLimited, writeAtomic } from '../../sys/files.ts';
import type { PhaseReport } from '../phase.ts';

export interface Prepared {
  /** the data device, for example /dev/vdb1 */
  readonly device: string;
  /** phases of prepare: the host is told about them as soon as its address is known */
  readonly phases: readonly PhaseReport[];
}

const LIMIT = 256 * 1024;

export async function writePrepared(prepared: Prepared, path: string): Promise<void> {
  await makeDir(dirname(path));
  await writeAtomic(path, `${JSON.stringify(prepared)}\n`, 0o600);
}

/** @returns undefined when `prepare` has not run in this boot */
export async function readPrepared(path: string): Promise<Prepared | undefined> {
  const raw = await ifExists(() => readLimited(path, LIMIT));
  if (raw === undefined) return undefined;
  try {
    const { device, phases } = JSON.parse(new TextDecoder().decode(raw)) as Partial<Prepared>;
    if (typeof device !== 'string' || !Array.isArray(phases)) throw new TypeError('device or phases is missing');
    return { device, phases };
  } catch (thrown) {
    throw new DstackError('DOCUMENT_INVALID', `file ${path} is damaged`, {
      path,
      cause: thrown,
      hint: 'run `dstack-util prepare` again',
    });
  }
}
