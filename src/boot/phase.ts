/** The vocabulary of the boot: a phase is one named, timed step; a sequence is a list of them, read top to bottom. */
import type { MeasuredEvent } from '../config/timeline-file.ts';
import type { HostNotifier } from './notifier.ts';

/** What every sequence carries from phase to phase. */
export interface SequenceContext {
  /** the way to the host, best effort */
  readonly host: HostNotifier;
  /** events measured since the running phase began: the runner moves them into the timeline */
  readonly measured: MeasuredEvent[];
  /** sentences about the running phase: the runner moves them into the timeline */
  readonly notes: string[];
  /** finds `host_api_url` when a failure comes before it is known, so that the host hears of it at all */
  locateHost?(): Promise<string | undefined>;
}

export interface Phase<C extends SequenceContext> {
  /** a few words, imperative: shown in logs, the timeline and on the host */
  readonly name: string;
  /** `boot.progress` payload the documented boot order sends before this phase, if any */
  notify?(context: C): string | undefined;
  /** false = nothing to do this time; the phase is recorded as skipped */
  when?(context: C): boolean;
  run(context: C): Promise<void>;
}

/** One phase, or several that may run at the same time because none needs or changes what another one does. */
export type Step<C extends SequenceContext> = Phase<C> | readonly Phase<C>[];

/**
 * What the host is told about each finished phase: event `boot.phase`, payload this as compact JSON. It goes out beside the
 * documented `boot.progress` texts, which stay as they are; a VMM that does not know the event keeps it in its list of
 * events and nothing more. Phases of `prepare` are told later, by `setup`, which is the first to know the address.
 */
export interface PhaseReport {
  readonly sequence: string;
  readonly n: number;
  readonly of: number;
  readonly name: string;
  readonly ms: number;
}

export const isGroup = <C extends SequenceContext>(step: Step<C>): step is readonly Phase<C>[] => Array.isArray(step);
