/**
 * Memory that a burst leaves behind: the collector of the runtime waits for new work before it looks at old garbage, and
 * pages of the program file stay where they were needed once. The agent shares the memory with the app, so it gives back
 * what it does not need: after its start, after bursts, and the pages of the program also in a long one.
 */
import { errorChain } from '../../errors.ts';
import { collectGarbage } from '../../sys/native.ts';
import { releaseProgramPages } from '../../sys/program-pages.ts';
import * as ui from '../../ui.ts';

const LOOK_EVERY_MS = 2000;
/** looks between two times that program pages are given back while there is work */
const BUSY_LOOKS = 15;
/** answers that leave enough garbage behind to be worth a pause */
const WORTH_IT = 1000;

/** What can be given back; replaced by tests. */
export interface Tidying {
  /** takes some tens of milliseconds */
  collect(): void;
  release(): void;
}

const real: Tidying = {
  collect: collectGarbage,
  release: () =>
    void releaseProgramPages().catch((thrown) => ui.debug(`no pages are given back: ${errorChain(thrown)}`)),
};

/**
 * @param answers how many answers were given since the start
 * @returns how to stop
 */
export function tidyWhenIdle(answers: () => number, tidying = real, everyMs = LOOK_EVERY_MS): () => void {
  let tidied = answers();
  let last = tidied;
  let looks = 0;
  const timer = setInterval(() => {
    const now = answers();
    const first = looks++ === 0;
    if (first || (now === last && now - tidied >= WORTH_IT)) {
      tidied = now;
      tidying.collect();
      tidying.release();
    } else if (now !== last && looks % BUSY_LOOKS === 0) tidying.release();
    last = now;
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
