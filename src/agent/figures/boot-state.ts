/** Where the boot is, as its timeline tells: in progress, done, or failed and why. */
import { FIRST_STEP, LAST_STEP } from '../../deploy/deploy.ts';
import type { TimelinePhase } from './boot-phases.ts';

export interface BootState {
  /** `unknown`: there is no timeline, as on a machine of a developer */
  readonly state: 'unknown' | 'running' | 'done' | 'failed';
  /** of the first failed phase */
  readonly failure?: TimelinePhase;
}

const DEPLOY = 'deploy';

/** The phases that count: all before the app, and the latest start of the app only. */
export function latestPhases(phases: readonly TimelinePhase[]): TimelinePhase[] {
  const begin = phases.findLastIndex(({ sequence, phase }) => sequence === DEPLOY && phase === FIRST_STEP);
  return phases.filter(({ sequence }, index) => sequence !== DEPLOY || index >= begin);
}

/** @param phases what `latestPhases` returned */
export function bootState(phases: readonly TimelinePhase[]): BootState {
  if (phases.length === 0) return { state: 'unknown' };
  const failure = phases.find(({ outcome }) => outcome === 'failed');
  if (failure !== undefined) return { state: 'failed', failure };
  const complete = phases.some(({ sequence, phase }) => sequence === DEPLOY && phase === LAST_STEP);
  return { state: complete ? 'done' : 'running' };
}
