/**
 * QEMU 10.0 now and then aborts in its own PCI code (an assertion in msix.c, seen about once in 25 starts) while the
 * kernel looks for devices. Nothing of the guest has run then, so nothing can be lost or hidden: the start is repeated.
 * Any other end is handed on.
 */
import type { ConsoleLog } from './console.ts';
import type { Ended } from './process.ts';

/** the first words of the initramfs on the console */
const FIRST_PROGRAM = 'dstack-init';
const WAIT_MS = 60_000;
const TRIES = 3;

/** The part of a QEMU process that is needed here. */
export interface Startable {
  readonly exited: Promise<Ended>;
}

/** Starts a process, again when it aborted before the first program of the guest ran; at most three times. */
export async function startPastEarlyAbort<T extends Startable>(
  start: () => T,
  console: Pick<ConsoleLog, 'watch' | 'append'>,
  waitMs = WAIT_MS,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const started = start();
    const ended = await firstProgramOrEnd(started, console, waitMs);
    if (ended?.signal !== 'SIGABRT' || attempt === TRIES) return started;
    console.append(Buffer.from(`aborted before the guest ran, start ${attempt + 1} of ${TRIES}\n`), 'qemu');
  }
}

/** Resolves with how the process ended, or with undefined when the guest runs or takes its time. */
async function firstProgramOrEnd(
  started: Startable,
  console: Pick<ConsoleLog, 'watch'>,
  waitMs: number,
): Promise<Ended | undefined> {
  let timer: NodeJS.Timeout | undefined;
  let unwatch = () => {};
  const running = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), waitMs);
    unwatch = console.watch((line) => line.includes(FIRST_PROGRAM) && resolve(undefined));
  });
  try {
    return await Promise.race([started.exited, running]);
  } finally {
    clearTimeout(timer);
    unwatch();
  }
}
