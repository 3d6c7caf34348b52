/**
 * Memory after a burst: the collector of the runtime waits for new work before it looks at old garbage, so an agent that
 * has nothing to do would keep what it needed at its busiest. It shares the memory with the app, so it gives it back.
 */
import { collectGarbage } from '../sys/native.ts';

const LOOK_EVERY_MS = 2000;
/** answers that leave enough garbage behind to be worth a pause */
const WORTH_IT = 1000;

/**
 * @param answers how many answers were given since the start
 * @param collect replaced by tests
 * @returns how to stop
 */
export function tidyWhenIdle(answers: () => number, collect = collectGarbage, everyMs = LOOK_EVERY_MS): () => void {
  let tidied = answers();
  let last = tidied;
  const timer = setInterval(() => {
    const now = answers();
    if (now === last && now - tidied >= WORTH_IT) {
      tidied = now;
      collect();
    }
    last = now;
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
