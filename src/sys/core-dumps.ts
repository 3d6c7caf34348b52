/** Processes that hold keys leave no memory image behind when they crash, whatever the system around them is set to. */
import * as ui from '../ui.ts';

/** Best effort: a crash is not the moment an app depends on. Outside of the compiled binary it does nothing. */
export async function refuseCoreDumps(): Promise<void> {
  if (!('Bun' in globalThis)) return;
  const { native } = await import('./native.ts');
  try {
    (await native()).refuseCoreDumps();
  } catch (thrown) {
    ui.warn(`a crash of this process could write its memory to disk: ${String(thrown)}`);
  }
}
