/** The timeline of the boot: one JSON line a phase in /run/log/dstack/boot.jsonl, kept for the operator and the tests. */
import * as fs from 'node:fs/promises';
import { dirname } from 'node:path';
import type { PhaseRecord } from '../config/timeline-file.ts';
import { errorChain } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import * as ui from '../ui.ts';

/** Where records go. Writing never fails the boot: a missing log is a smaller harm than a dead machine. */
export type Timeline = (record: PhaseRecord) => Promise<void>;

/** Appends records to a file, each in one write so that lines of two processes do not mix. */
export function fileTimeline(path: string): Timeline {
  return async (record) => {
    if (isDryRun()) return;
    try {
      await fs.mkdir(dirname(path), { recursive: true });
      await fs.appendFile(path, `${ui.printableJson(JSON.stringify(record))}\n`, { mode: 0o644 });
    } catch (thrown) {
      ui.warn(`the timeline was not written: ${errorChain(thrown)}`);
    }
  };
}
