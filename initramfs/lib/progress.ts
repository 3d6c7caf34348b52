/** Progress of an image build: every step that may take longer than a second says when it starts and when it ends. */

export type Step =
  | 'host'
  | 'tools tree'
  | 'packages'
  | 'kernel'
  | 'tdx-sim module'
  | 'zfs modules'
  | 'root image'
  | 'verity'
  | 'initramfs'
  | 'firmware'
  | 'bill of materials'
  | 'archive'
  | 'uki';

export interface ProgressEvent {
  step: Step;
  state: 'start' | 'progress' | 'done';
  /** One short line: what is being done, or what came out. */
  detail?: string | undefined;
  /** Elapsed milliseconds, with `done`. */
  ms?: number;
}

export type OnProgress = (event: ProgressEvent) => void;

/** What a step may say while it runs. */
export type Say = (detail: string) => void;

/** Runs one step between its `start` and `done` events; the returned value's `detail`, if any, goes into `done`. */
export async function step<T>(
  onProgress: OnProgress | undefined,
  name: Step,
  detail: string | undefined,
  work: (say: Say) => Promise<T>,
  summary?: (value: T) => string | undefined,
): Promise<T> {
  const started = performance.now();
  onProgress?.({ step: name, state: 'start', detail });
  const value = await work((text) => onProgress?.({ step: name, state: 'progress', detail: text }));
  onProgress?.({ step: name, state: 'done', detail: summary?.(value), ms: Math.round(performance.now() - started) });
  return value;
}
