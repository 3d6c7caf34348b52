/** Sums over phases of which some ran at the same time: no moment is counted twice. */
import type { PhaseRecord } from '../src/config/timeline-file.ts';

interface Stretch {
  end: number;
  readonly start: number;
  cpu: number;
}

/** Starts are written in whole milliseconds: what follows must not look like what overlaps. */
const ROUNDING_MS = 1;

/** Stretches of time without a gap. Phases at the same time each count the processor time of both: the largest is it. */
function stretches(records: readonly PhaseRecord[]): Stretch[] {
  const found: Stretch[] = [];
  const intervals = records
    .map(({ start, durationMs, cpuMs = 0 }) => ({ from: Date.parse(start), durationMs, cpuMs }))
    .sort((a, b) => a.from - b.from);
  for (const { from, durationMs, cpuMs } of intervals) {
    const last = found.at(-1);
    if (last === undefined || from > last.end - ROUNDING_MS)
      found.push({ start: from, end: from + durationMs, cpu: cpuMs });
    else {
      last.end = Math.max(last.end, from + durationMs);
      last.cpu = Math.max(last.cpu, cpuMs);
    }
  }
  return found;
}

/** milliseconds in which at least one of them ran */
export const wallTime = (records: readonly PhaseRecord[]): number =>
  stretches(records).reduce((sum, { start, end }) => sum + end - start, 0);

/** milliseconds of processor time of our process while they ran */
export const processorTime = (records: readonly PhaseRecord[]): number =>
  stretches(records).reduce((sum, { cpu }) => sum + cpu, 0);
