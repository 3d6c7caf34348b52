/** Service Worker of the guest API v1: what everybody may ask, on TCP 8090 below /prpc/v1 (dstack guest API v1). */
import type { Handlers } from '../rpc/rpc.ts';
import type { AgentState } from '../state.ts';
import { appInfoV1 } from './app-report.ts';
import { version } from './guest-service.ts';

export function workerServiceV1(state: AgentState): Handlers<'WorkerV1'> {
  return {
    Info: async () => appInfoV1(state, 'public'),
    Version: version,
    async Health() {
      const { healthy, unhealthy, error } = state.health.verdict();
      return { healthy, unhealthy: unhealthy.map((entry) => ({ ...entry })), error };
    },
  };
}
