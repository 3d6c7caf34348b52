/** Registration with the gateway. When it fails the app runs without an ingress route: the host is told, the checker goes on. */
import { errorChain } from '../../errors.ts';
import { isDryRun } from '../../sys/effects.ts';
import * as ui from '../../ui.ts';
import { need, type SetupContext } from './setup-context.ts';

/** A failed registration does not fail the boot (dstack boot order, stage 1). */
export async function joinGateway(context: SetupContext): Promise<void> {
  if (!need(context, 'compose').gatewayEnabled || isDryRun()) return;
  try {
    await context.services.joinGateway(context.options.workDir);
  } catch (thrown) {
    ui.warn(ui.errorLines(thrown));
    const text = `dstack-gateway registration failed, the app has no ingress route: ${errorChain(thrown)}`;
    context.host.send('boot.error', text);
  }
}
