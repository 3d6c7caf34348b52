/** Service Worker: what everybody may ask, on TCP 8090 (dstack guest agent services). */

import type { Handlers } from '../rpc/rpc.ts';
import type { AgentState } from '../state.ts';
import { appInfo } from './app-report.ts';
import { version } from './guest-service.ts';
import { appKeyEvidence } from './public-evidence.ts';

export function workerService(state: AgentState): Handlers<'Worker'> {
  return {
    Info: async () => appInfo(state, 'public'),
    Version: version,
    GetAttestationForAppKey: async ({ algorithm }) => appKeyEvidence(state, algorithm),
  };
}
