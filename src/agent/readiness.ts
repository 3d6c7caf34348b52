/** What /readyz tells: whether the app can be served, and the state of every listener. */
import type { ListenerStatus } from './listener.ts';

export interface Readiness {
  /** both internal listeners answer: the app gets its keys and quotes */
  readonly ready: boolean;
  /** `tdx`, or `canned` for a simulator */
  readonly evidence: 'tdx' | 'canned';
  readonly uptimeSeconds: number;
  readonly listeners: readonly ListenerStatus[];
}
