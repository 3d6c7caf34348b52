/** Ending a child process when its time is over: SIGTERM first, SIGKILL when that did not help. */

/** from SIGTERM to SIGKILL */
const KILL_AFTER_MS = 5000;

export interface TimeLimit {
  /** true once the time was over and the child was told to end */
  readonly passed: boolean;
  /** the child has ended: nothing is sent any more */
  clear(): void;
}

/** @param timeoutMs 0 = no limit  @param kill sends a signal to the child, or to its group */
export function timeLimit(timeoutMs: number, kill: (signal: NodeJS.Signals) => void): TimeLimit {
  let passed = false;
  let timer: NodeJS.Timeout | undefined;
  const end = () => {
    passed = true;
    kill('SIGTERM');
    timer = setTimeout(kill, KILL_AFTER_MS, 'SIGKILL');
  };
  if (timeoutMs > 0) timer = setTimeout(end, timeoutMs);
  return {
    get passed() {
      return passed;
    },
    clear: () => clearTimeout(timer),
  };
}
