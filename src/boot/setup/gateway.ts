/** Registration with the gateway. This version has none: the app runs, but without an ingress route, and the host is told. */

import { errorChain } from '../../errors.ts';
import { gatewayUnsupported } from '../../net/gateway.ts';
import * as ui from '../../ui.ts';
import { need, type SetupContext } from './context.ts';

/** A failed registration does not fail the boot (dstack boot order, stage 1). */
export async function joinGateway(context: SetupContext): Promise<void> {
  if (!need(context, 'compose').gatewayEnabled) return;
  const failure = gatewayUnsupported();
  const text = `dstack-gateway registration failed, the app has no ingress route: ${errorChain(failure)}`;
  ui.warn(ui.formatError(failure));
  context.host.send('boot.error', text);
}
