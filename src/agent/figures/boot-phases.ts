/** The boot timeline as the page, /metrics and /readyz want it: times as numbers, and no failure of theirs. */
import { type PhaseRecord, readTimelineFile } from '../../config/timeline-file.ts';

export interface TimelinePhase extends Omit<PhaseRecord, 'start'> {
  /** Unix milliseconds */
  readonly start: number;
}

/** Reads the timeline; a file that is missing or cannot be read is empty. */
export async function readTimeline(path: string): Promise<TimelinePhase[]> {
  const records = await readTimelineFile(path).catch(() => []);
  return records.map((record) => ({ ...record, start: Date.parse(record.start) }));
}
