/** The identity of the app as `show` prints it, on stdout: the operator finds it in the journal of setup. */
import { isDryRun } from '../../sys/effects.ts';
import { appInfoJson, decodeAppInfo } from '../../tdx/app-identity.ts';
import * as ui from '../../ui.ts';
import type { SetupContext } from './setup-context.ts';

export async function printAppInfo(context: SetupContext): Promise<void> {
  if (isDryRun()) return;
  const info = decodeAppInfo(await context.services.ownEvidence());
  await ui.output(`${ui.json(appInfoJson(info))}\n`);
}
