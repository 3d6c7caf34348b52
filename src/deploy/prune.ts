/** Removes images that neither a container nor the compose file uses. Docker's own prune knows only containers. */
import { errorChain } from '../errors.ts';
import { effect } from '../sys/effects.ts';
import * as ui from '../ui.ts';
import type { ComposeModel } from './compose-model.ts';
import { listImages, removeImage } from './docker-control.ts';
import { familiarName } from './image-references.ts';

/**
 * Removes every image but those of containers (docker refuses these by itself) and those that a service of any profile
 * names. A failure is only logged.
 * @returns what was removed
 */
export async function pruneImages(model: ComposeModel, socketPath?: string): Promise<string[]> {
  const wanted = new Set<string>();
  for (const { name, image } of model.services) {
    // a built service without a name gets this one from compose
    wanted.add(familiarName(image || `${model.project}-${name}`));
    // with tag and digest docker may list either
    if (image.includes('@')) wanted.add(familiarName(image.split('@')[0] ?? ''));
  }
  const removed: string[] = [];
  try {
    for (const { id, references } of await listImages(socketPath)) {
      if (references.some((reference) => wanted.has(familiarName(reference)))) continue;
      for (const target of references.length === 0 ? [id] : references) {
        const gone = await effect(`remove image ${target}`, true, () => removeImage(target, socketPath));
        if (gone) removed.push(target);
        else break; // in use: its other names stay too
      }
    }
  } catch (thrown) {
    ui.warn(`images were not removed: ${errorChain(thrown)}`);
  }
  if (removed.length > 0) ui.info(`removed ${removed.length} unused image names: ${ui.printable(removed.join(' '))}`);
  return removed;
}
