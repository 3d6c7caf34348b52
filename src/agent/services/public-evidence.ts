/** Evidence for everybody: a quote over the public key of the app, taken at most once in some seconds. */
import { toHex } from '../../codec/hex.ts';
import type { Message } from '../../codec/prpc-messages.ts';
import { Recent } from '../figures/recent.ts';
import type { AgentState } from '../state.ts';
import { quoteResponse } from './guest-service.ts';

type Answer = Message<'GetQuoteResponse'>;

const recent = new WeakMap<AgentState, Recent<Answer>>();

/** What GetAttestationForAppKey answers. @throws ALGORITHM_UNSUPPORTED, QUOTE_* */
export async function appKeyEvidence(state: AgentState, algorithm: string): Promise<Answer> {
  const answers = recent.get(state) ?? new Recent<Answer>();
  recent.set(state, answers);
  const { appKeyReportData } = await import('../../keys/sign.ts');
  const reportData = await appKeyReportData(state.keys, algorithm);
  return answers.get(toHex(reportData), () => quoteResponse(state, reportData));
}
