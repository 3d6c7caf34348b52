/**
 * Runs a sequence of phases: times and logs each, tells the host, records the timeline, and turns a failure into one
 * `boot.error` with the complete cause chain.
 */
import { DstackError, errorChain, toDstackError } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import * as ui from '../ui.ts';
import { allSettledOrThrow } from './all-settled.ts';
import { journalFailure } from './journal.ts';
import { isGroup, type Phase, type PhaseReport, type SequenceContext, type Step } from './phase.ts';
import type { Timeline } from './timeline-writer.ts';

export interface RunSequenceOptions {
  readonly timeline: Timeline;
}

/** How long a failed boot waits until the host has its boot.error. A good one flushes once, at the end of the process. */
const FLUSH_ERROR_MS = 30_000;
/** A phase that takes longer than this says that it has begun. */
const SLOW_MS = 1000;

/**
 * Runs all steps in order; the phases of a group run at the same time.
 * @returns a report for each finished phase
 * @throws what the failing phase threw, after the host was told
 */
export async function runSequence<C extends SequenceContext>(
  sequence: string,
  steps: readonly Step<C>[],
  context: C,
  options: RunSequenceOptions,
): Promise<PhaseReport[]> {
  const of = steps.flat().length;
  const { timeline } = options;
  const reports: PhaseReport[] = [];
  const one = async (phase: Phase<C>, n: number) => {
    const report = await runPhase(sequence, phase, `phase ${n}/${of} ${phase.name}`, context, timeline);
    if (report === undefined) return;
    const full = { sequence, n, of, name: phase.name, ms: report };
    reports.push(full);
    if (!isDryRun()) context.host.send('boot.phase', JSON.stringify(full));
  };
  let n = 1;
  try {
    for (const step of steps) {
      const group: readonly Phase<C>[] = isGroup(step) ? step : [step];
      const first = n;
      n += group.length;
      await allSettledOrThrow(group.map((phase, index) => one(phase, first + index)));
    }
  } catch (thrown) {
    await reportFailure(context, thrown);
    await context.host.flush(FLUSH_ERROR_MS);
    throw thrown;
  }
  return reports;
}

/** @returns the duration in milliseconds, or undefined when there was nothing to do */
async function runPhase<C extends SequenceContext>(
  sequence: string,
  phase: Phase<C>,
  label: string,
  context: C,
  timeline: Timeline,
): Promise<number | undefined> {
  const start = new Date().toISOString();
  const before = process.cpuUsage();
  const record = (outcome: 'done' | 'skipped' | 'failed', durationMs: number, error?: string) => {
    const { user, system } = process.cpuUsage(before);
    const notes = context.notes.splice(0);
    return timeline({
      sequence,
      phase: phase.name,
      start,
      durationMs,
      cpuMs: tenths((user + system) / 1000),
      events: context.measured.splice(0),
      outcome,
      ...(notes.length === 0 ? {} : { notes }),
      ...(error === undefined ? {} : { error }),
    });
  };
  if (phase.when?.(context) === false) {
    ui.info(`${label} ... skipped`);
    await record('skipped', 0);
    return undefined;
  }
  const progress = phase.notify?.(context);
  if (progress !== undefined) context.host.progress(progress);
  const slow = setTimeout(() => ui.info(`${label} ...`), SLOW_MS);
  const began = performance.now();
  const elapsed = () => tenths(performance.now() - began);
  try {
    await phase.run(context).finally(() => clearTimeout(slow));
    const ms = elapsed();
    ui.info(`${label} ... done, ${ui.duration(ms)}`);
    await record('done', ms);
    return ms;
  } catch (thrown) {
    const ms = elapsed();
    ui.error(`${label} ... failed after ${ui.duration(ms)}`);
    await record('failed', ms, describeFailure(thrown));
    throw thrown;
  }
}

const tenths = (ms: number): number => Math.round(ms * 10) / 10;

async function reportFailure(context: SequenceContext, thrown: unknown): Promise<void> {
  await journalFailure(thrown, describeFailure(thrown));
  if (!context.host.connected) {
    try {
      context.host.open(await context.locateHost?.());
    } catch (second) {
      ui.debug(`the host cannot be told: ${errorChain(second)}`);
    }
  }
  context.host.send('boot.error', describeFailure(thrown));
}

/** The full cause chain in one line, with code, file, field and value as far as the chain does not name them itself. */
export function describeFailure(thrown: unknown): string {
  const chain = errorChain(thrown);
  const failure = thrown instanceof DstackError ? thrown : toDstackError(thrown);
  const where = [
    ['file', failure.path],
    ['field', failure.field],
    ['value', failure.value],
  ].flatMap(([label, text]) => (text === undefined || chain.includes(text) ? [] : [`${label} ${text}`]));
  return ui.printable(`${chain}${where.length > 0 ? ` (${where.join(', ')})` : ''} [${failure.code}]`);
}

/** The names of the phases in order, for `--plan --json`. */
export const phaseNames = <C extends SequenceContext>(steps: readonly Step<C>[]): string[] =>
  (steps.flat() as Phase<C>[]).map(({ name }) => name);

/** The phases of a sequence as text, for `--plan`; a group shares one number range and is marked. */
export function planText<C extends SequenceContext>(sequence: string, steps: readonly Step<C>[]): string {
  const of = steps.flat().length;
  const lines: string[] = [];
  let n = 1;
  for (const step of steps) {
    const group: readonly Phase<C>[] = isGroup(step) ? step : [step];
    for (const phase of group) {
      const beside = group.length > 1 ? ' (at the same time)' : '';
      lines.push(`${sequence} ${String(n).padStart(String(of).length)}/${of}  ${phase.name}${beside}`);
      n += 1;
    }
  }
  return lines.join('\n');
}
