/** Chooses the disk of the app and lets its partition grow into a disk that the host has made larger. */
import { DstackError, errorChain } from '../../errors.ts';
import * as ui from '../../ui.ts';
import type { PrepareContext } from './prepare-context.ts';

/** @throws DISK_NOT_FOUND, DISK_NOT_BLANK */
export async function chooseDevice(context: PrepareContext): Promise<void> {
  const chosen = await context.services.chooseDataDevice();
  ui.info(`data device ${chosen.device} (${chosen.how})`);
  context.device = chosen.device;
}

/** Failures are only logged: the app has at least the space it had before. */
export async function growDevice(context: PrepareContext): Promise<void> {
  if (context.device === undefined) throw new DstackError('INTERNAL', 'phase order is wrong: device is not known yet');
  try {
    await context.services.growPartition(context.device);
  } catch (thrown) {
    ui.warn(`the data partition did not grow: ${errorChain(thrown)}`);
  }
}
