/**
 * Keeps the timeline of a boot on the data disk, so that the next boot can be compared with it. The disk is the only
 * place that survives a boot and that the host cannot read.
 */
import * as fs from 'node:fs/promises';
import { PATHS } from '../config/paths.ts';
import { type PhaseRecord, readTimelineFile, TIMELINE_LIMIT } from '../config/timeline-file.ts';
import { errorChain } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import { ifExists, readLimited, writeAtomic } from '../sys/files.ts';
import * as ui from '../ui.ts';

const FOLDER = 'boot-timeline';

const kept = (mountPoint: string, name: 'last' | 'previous'): string => `${mountPoint}/${FOLDER}/${name}.jsonl`;

/** Once a boot, as soon as the data disk is open: what the last boot kept becomes the previous one. Never fails a boot. */
export async function rotateTimeline(mountPoint: string): Promise<void> {
  await harmless(() =>
    ifExists(() => fs.rename(kept(mountPoint, 'last'), kept(mountPoint, 'previous'))).then(() => undefined),
  );
}

/** Copies the timeline of this boot to the data disk. Never fails a boot. */
export async function keepTimeline(mountPoint: string, path: string = PATHS.bootTimeline): Promise<void> {
  await harmless(async () => {
    const text = await ifExists(() => readLimited(path, TIMELINE_LIMIT));
    if (text === undefined) return;
    await fs.mkdir(`${mountPoint}/${FOLDER}`, { recursive: true, mode: 0o755 });
    await writeAtomic(kept(mountPoint, 'last'), text, 0o644);
  });
}

async function harmless(work: () => Promise<void>): Promise<void> {
  if (isDryRun()) return;
  try {
    await work();
  } catch (thrown) {
    ui.warn(`the timeline was not kept: ${errorChain(thrown)}`);
  }
}

export interface BootTimelines {
  readonly current: readonly PhaseRecord[];
  /** empty when the data disk is new, or was made again for this boot */
  readonly previous: readonly PhaseRecord[];
}

/** Both timelines; what is not there is empty, what is not a phase record is left out. @throws FILE_TOO_LARGE, FILE_IO */
export async function readTimelines(options: { path?: string; mountPoint?: string } = {}): Promise<BootTimelines> {
  return {
    current: await readTimelineFile(options.path ?? PATHS.bootTimeline),
    previous: await readTimelineFile(kept(options.mountPoint ?? PATHS.dataMount, 'previous')),
  };
}
