/** What a mark says about keys that ended, against what the disk key says: the key is right. */
import { DstackError, errorChain } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import * as ui from '../ui.ts';
import type { Content } from './content.ts';
import type { DiskRequest } from './decide.ts';
import type { DiskMachine } from './disk-machine.ts';
import { testKey } from './luks.ts';
import { type Mark, writeMark } from './marks.ts';

/** What is asked of a device, with the key. */
type Doubt = Pick<DiskRequest, 'device' | 'encrypted' | 'ephemeral'> & { readonly key: Uint8Array };

/**
 * The host can write a mark. One that says that the keys of this volume ended is believed only when the key of this boot
 * does not open it: otherwise an operator would be told that good data is lost.
 * @returns the mark as it should be; undefined when there is nothing against it
 * @throws as openLuks, except LUKS_KEY_WRONG
 */
export async function keyDisproves(
  { device, encrypted, ephemeral, key }: Doubt,
  content: Content,
  mark: Mark | undefined,
  machine: DiskMachine,
): Promise<Mark | undefined> {
  if (!mark?.ephemeral || mark.initialising || !encrypted || ephemeral || content.kind !== 'luks') return undefined;
  if (isDryRun()) return undefined; // no key is tried in one
  try {
    await testKey(device, key, machine);
  } catch (thrown) {
    if (thrown instanceof DstackError && thrown.code === 'LUKS_KEY_WRONG') return undefined;
    throw thrown;
  }
  ui.warn(`${device}: its mark says that its keys ended, but the disk key opens it: the mark is not believed`);
  return { ...mark, ephemeral: false };
}

/** The volume is open and in use: a mark that cannot be written only costs the same question at the next boot. */
export async function mendMark(device: string, mark: Mark, machine: DiskMachine): Promise<void> {
  try {
    await writeMark(device, true, mark, machine);
  } catch (thrown) {
    ui.warn(`${device}: the wrong mark stays: ${errorChain(thrown)}`);
  }
}
