/** What the agent counts about its own work: RPC calls by method and outcome, and the work of the quoting device. */
import { Latencies } from './latency.ts';
import type { RequestOutcome } from './request-log.ts';

export class CallStats {
  /** labels: service, method, outcome */
  readonly rpc = new Latencies();
  /** labels: operation, outcome (`ok` or `failed`) */
  readonly evidence = new Latencies();

  /** Told after each call. Its method is a name of the table or `unknown`, so the labels stay few. */
  readonly observe = ({ service, method, code, milliseconds }: RequestOutcome): void =>
    this.rpc.observe(milliseconds / 1000, service, method, code);
}
