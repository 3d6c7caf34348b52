/** Service Worker: what everybody may ask, on TCP 8090 (dstack guest agent services). */
import { version } from './guest-service.ts';
import { appInfo } from './info.ts';
import { appKeyEvidence } from './public-evidence.ts';
import type { Handlers } from './rpc.ts';
import type { AgentState } from './state.ts';

export function workerService(state: AgentState): Handlers<'Worker'> {
  return {
    Info: async () => appInfo(state, 'public'),
    Version: version,
    GetAttestationForAppKey: async ({ algorithm }) => appKeyEvidence(state, algorithm),
  };
}
