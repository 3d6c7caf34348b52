/** A backend whose work is timed: quotes are the slow part of the agent, and what an operator watches first. */

import type { Latencies } from '../rpc/latency.ts';
import type { Backend } from './backend.ts';

/** The same backend; every call is recorded with the labels operation and outcome. */
export function measuredBackend(backend: Backend, latencies: Latencies): Backend {
  const timed =
    <A extends readonly unknown[], R>(operation: string, work: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      const started = performance.now();
      let outcome = 'failed';
      try {
        const answer = await work(...args);
        outcome = 'ok';
        return answer;
      } finally {
        latencies.observe((performance.now() - started) / 1000, operation, outcome);
      }
    };
  return {
    kind: backend.kind,
    attestation: timed('attestation', (reportData) => backend.attestation(reportData)),
    quote: timed('quote', (reportData) => backend.quote(reportData)),
    attest: timed('attest', (reportData, form) => backend.attest(reportData, form)),
    identity: timed('identity', () => backend.identity()),
    ...(backend.emitEvent === undefined ? {} : { emitEvent: timed('emit_event', backend.emitEvent) }),
  };
}
