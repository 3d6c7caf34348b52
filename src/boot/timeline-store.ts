/**
 * Keeps the timeline of a boot on the data disk, so that the next boot can be compared with it. The disk is the only
 * place that survives a boot and that the host cannot read.
 */
import * as fs from 'node:fs/promises';
import { PATHS } from '../config/paths.ts';
import { errorChain } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import { ifExists, readLimited, utf8, writeAtomic } from '../sys/files.ts';
import * as ui from '../ui.ts';
import type { PhaseRecord } from './phase.ts';

const FOLDER = 'boot-timeline';
/** A boot writes some 50 lines of 300 bytes; an operator who starts the app again and again writes more. */
const LIMIT = 1024 * 1024;

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
    const text = await ifExists(() => readLimited(path, LIMIT));
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
  /** empty when the data disk is new, or was made anew for this boot */
  readonly previous: readonly PhaseRecord[];
}

/** Both timelines; what is not there is empty, what is not a phase record is left out. @throws FILE_TOO_LARGE, FILE_IO */
export async function readTimelines(options: { path?: string; mountPoint?: string } = {}): Promise<BootTimelines> {
  const read = async (path: string) => {
    const bytes = await ifExists(() => readLimited(path, LIMIT));
    return bytes === undefined ? [] : parseTimeline(utf8(bytes, path));
  };
  return {
    current: await read(options.path ?? PATHS.bootTimeline),
    previous: await read(kept(options.mountPoint ?? PATHS.dataMount, 'previous')),
  };
}

/** Phase records of a timeline file, a line each. */
export function parseTimeline(text: string): PhaseRecord[] {
  return text.split('\n').flatMap((line) => {
    try {
      const record: unknown = JSON.parse(line);
      return isRecord(record) ? [record] : [];
    } catch {
      return []; // a line cut by a power failure
    }
  });
}

const OUTCOMES: readonly unknown[] = ['done', 'skipped', 'failed'];

function isRecord(value: unknown): value is PhaseRecord {
  const it = (value ?? {}) as Record<string, unknown>;
  return (
    typeof it['sequence'] === 'string' &&
    typeof it['phase'] === 'string' &&
    typeof it['start'] === 'string' &&
    !Number.isNaN(Date.parse(it['start'])) &&
    typeof it['durationMs'] === 'number' &&
    Number.isFinite(it['durationMs']) &&
    it['durationMs'] >= 0 &&
    OUTCOMES.includes(it['outcome']) &&
    Array.isArray(it['events']) &&
    it['events'].every((event) => typeof event?.name === 'string' && typeof event?.digest === 'string')
  );
}
