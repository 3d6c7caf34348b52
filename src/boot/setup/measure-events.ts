/** What setup measures into RTMR3. The order is the contract with every verifier (dstack measurement, event order). */
import { EMPTY_BYTES } from '../../codec/bytes.ts';
import { toHex } from '../../codec/hex.ts';
import { initScriptHashes } from '../../tdx/event-payloads.ts';
import { EVENT } from '../../tdx/events.ts';
import { computeIdentity } from '../../tdx/instance-identity.ts';
import { need, type SetupContext } from './setup-context.ts';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** Measures one event and notes it for the timeline. */
export async function measure(context: SetupContext, name: string, payload: Uint8Array): Promise<void> {
  const { digest } = await context.services.emitEvent(name, payload);
  context.measured.push({ name, digest: toHex(digest) });
}

/** Measures an event whose payload is text. */
export const measureText = (context: SetupContext, name: string, value: string): Promise<void> =>
  measure(context, name, text(value));

/** system-preparing, app-id, compose-hash, init-script-hash for each script, gpu-policy-hash */
export async function measureApp(context: SetupContext): Promise<void> {
  const compose = need(context, 'compose');
  const instance = computeIdentity(compose, need(context, 'instance'));
  context.found.instance = instance;
  await measure(context, EVENT.systemPreparing, EMPTY_BYTES);
  await measure(context, EVENT.appId, instance.appId);
  await measure(context, EVENT.composeHash, compose.composeHash);
  for (const hash of initScriptHashes(compose.initScripts)) await measure(context, EVENT.initScriptHash, hash);
  await measure(context, EVENT.gpuPolicyHash, compose.gpuPolicyHash);
}

/** instance-id (empty when the app wants none), boot-mr-done */
export async function measureInstance(context: SetupContext): Promise<void> {
  await measure(context, EVENT.instanceId, need(context, 'instance').instanceId);
  await measure(context, EVENT.bootMrDone, EMPTY_BYTES);
}
