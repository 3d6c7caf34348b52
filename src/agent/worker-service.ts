/** Service Worker: what everybody may ask, on TCP 8090 (dstack guest agent services). */
import { toHex } from '../codec/hex.ts';
import type { Message } from '../codec/prpc-messages.ts';
import { quoteResponse, version } from './guest-service.ts';
import { appInfo } from './info.ts';
import { Recent } from './recent.ts';
import type { Handlers } from './rpc.ts';
import type { AgentState } from './state.ts';

export function workerService(state: AgentState): Handlers<'Worker'> {
  const recent = new Recent<Message<'GetQuoteResponse'>>();
  return {
    Info: async () => appInfo(state, 'public'),
    Version: version,
    async GetAttestationForAppKey({ algorithm }) {
      const { appKeyReportData } = await import('../keys/sign.ts');
      const reportData = await appKeyReportData(state.keys, algorithm);
      return recent.get(toHex(reportData), () => quoteResponse(state, reportData));
    },
  };
}
