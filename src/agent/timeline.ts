/** The boot timeline as the page shows it: one line of JSON a phase, written by the boot (its phase records). */
import { readLimited } from '../sys/files.ts';

export interface TimelinePhase {
  readonly sequence: string;
  readonly phase: string;
  /** Unix milliseconds */
  readonly start: number;
  readonly durationMs: number;
  /** `done`, `skipped` or `failed` */
  readonly outcome: string;
  /** what was measured in this phase; digest is SHA-384 as hex */
  readonly events: readonly { readonly name: string; readonly digest: string }[];
  /** the cause chain of a failure */
  readonly error?: string;
}

const LIMIT = 1024 * 1024;

/** Reads the timeline; a missing file is empty, a line that is not a phase record is skipped. */
export async function readTimeline(path: string): Promise<TimelinePhase[]> {
  let text: string;
  try {
    text = Buffer.from(await readLimited(path, LIMIT)).toString('utf8');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
    try {
      const phase = fromRecord(JSON.parse(line));
      return phase === undefined ? [] : [phase];
    } catch {
      return [];
    }
  });
}

function fromRecord(value: unknown): TimelinePhase | undefined {
  const { sequence, phase, start, durationMs, outcome, events, error } = (value ?? {}) as Record<string, unknown>;
  const began = Date.parse(String(start));
  if (
    typeof sequence !== 'string' ||
    typeof phase !== 'string' ||
    Number.isNaN(began) ||
    typeof durationMs !== 'number' ||
    !Number.isFinite(durationMs) ||
    durationMs < 0
  )
    return undefined;
  const measured = (Array.isArray(events) ? events : []).map((event: unknown) => {
    const { name, digest } = (event ?? {}) as Record<string, unknown>;
    return { name: String(name ?? ''), digest: String(digest ?? '') };
  });
  return {
    sequence,
    phase,
    start: began,
    durationMs,
    outcome: String(outcome),
    events: measured,
    ...(typeof error === 'string' ? { error } : {}),
  };
}
