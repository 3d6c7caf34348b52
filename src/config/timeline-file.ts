/** The timeline of a boot as it is written and read: one JSON document a line, one for each phase. */
import { ifExists, readLimited } from '../sys/files.ts';

export interface MeasuredEvent {
  readonly name: string;
  /** SHA-384 as hex, as it extends RTMR3 */
  readonly digest: string;
}

/** One line of the timeline file. */
export interface PhaseRecord {
  readonly sequence: string;
  readonly phase: string;
  /** ISO 8601, UTC */
  readonly start: string;
  readonly durationMs: number;
  /** processor time of our own process meanwhile, programs it ran not included; phases at the same time share it */
  readonly cpuMs?: number;
  readonly events: readonly MeasuredEvent[];
  readonly outcome: 'done' | 'skipped' | 'failed';
  /** what the phase decided or found, a sentence each */
  readonly notes?: readonly string[];
  /** the cause chain of a failure */
  readonly error?: string;
}

/** A boot writes some 50 lines of 300 bytes; an operator who starts the app again and again writes more. */
export const TIMELINE_LIMIT = 1024 * 1024;

/** Reads a timeline; a missing file is empty, a line that is not a record is left out. @throws FILE_TOO_LARGE, FILE_IO */
export async function readTimelineFile(path: string): Promise<PhaseRecord[]> {
  const bytes = await ifExists(() => readLimited(path, TIMELINE_LIMIT));
  return bytes === undefined ? [] : parseTimeline(Buffer.from(bytes).toString('utf8'));
}

/** Phase records of a timeline's text, a line each. */
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
    (it['cpuMs'] === undefined || typeof it['cpuMs'] === 'number') &&
    OUTCOMES.includes(it['outcome']) &&
    (it['error'] === undefined || typeof it['error'] === 'string') &&
    (it['notes'] === undefined ||
      (Array.isArray(it['notes']) && it['notes'].every((note) => typeof note === 'string'))) &&
    Array.isArray(it['events']) &&
    it['events'].every((event) => typeof event?.name === 'string' && typeof event?.digest === 'string')
  );
}
