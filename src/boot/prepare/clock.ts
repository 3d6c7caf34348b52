/** Clock: one quick step before anything dates a certificate, and the strict wait that `secure_time` asks for. */
import { errorChain } from '../../errors.ts';
import * as ui from '../../ui.ts';
import type { Os } from '../os.ts';

/** A step that takes longer is not worth waiting for: chronyd goes on in the background. */
const STEP_TIMEOUT_MS = 4000;
/** `waitsync 30 0.1 0 5`: 30 tries, 5 seconds apart, error of at most 0.1 s; plus time for the program itself */
const WAIT_TIMEOUT_MS = 30 * 5000 + 15_000;

/** Asks chronyd to step the clock; a failure is only logged. */
export async function stepClock(os: Os): Promise<void> {
  try {
    await os.run('chronyc', ['makestep'], { timeout: STEP_TIMEOUT_MS });
  } catch (thrown) {
    ui.warn(`the clock was not stepped: ${errorChain(thrown)}`);
  }
}

/** Waits until chronyd has synchronised the clock to 0.1 s; it must succeed. */
export async function waitForSecureTime(os: Os): Promise<void> {
  await os.run('chronyc', ['waitsync', '30', '0.1', '0', '5'], { timeout: WAIT_TIMEOUT_MS });
}
