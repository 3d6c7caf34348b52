/** Whether the data disk is in the clear, which the boot measures in that case only (dstack-util, docs/disk.md). */
import { bootEvents, EVENT } from '../tdx/events.ts';
import { type Check, fail, note } from './check.ts';
import type { EventRow } from './event-rows.ts';

/**
 * @param allowed the user accepts it; a pin or a prediction of the event says the same
 * @returns nothing when the boot did not measure it, which the platform's own guests never do
 */
export function checkStorage(rows: readonly EventRow[], allowed: boolean): Check[] {
  const name = 'storage-encryption';
  const row = bootEvents(rows).find(({ event }) => event === EVENT.storageUnencrypted);
  if (row === undefined) return [];
  if (allowed || row.state === 'pinned') return [note(name, 'the data disk is not encrypted, as allowed')];
  return [fail(name, 'the data disk is not encrypted: the host reads and changes what the guest stores')];
}
