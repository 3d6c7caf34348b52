/** Service Worker: what everybody may ask, on TCP 8090 (dstack guest agent services). */
import { quoteResponse, version } from './guest-service.ts';
import { appInfo } from './info.ts';
import type { Handlers } from './rpc.ts';
import type { AgentState } from './state.ts';

export function workerService(state: AgentState): Handlers<'Worker'> {
  return {
    Info: async () => appInfo(state, 'public'),
    Version: version,
    async GetAttestationForAppKey({ algorithm }) {
      const { appKeyReportData } = await import('../keys/sign.ts');
      return quoteResponse(state, await appKeyReportData(state.keys, algorithm));
    },
  };
}
