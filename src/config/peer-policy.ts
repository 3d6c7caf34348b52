/**
 * Which TCB statuses a peer that gets secrets of this guest (KMS, gateway) may have. Two may say so: the image, with the
 * kernel parameter `dstack.peer_tcb=STATUS,...` (measured in RTMR2), and the app, with `requirements.peer_tcb_statuses`
 * (measured with its document). A status must please both. Without either, only a revoked peer is refused, as the
 * deployed guests do it.
 */
import { DstackError } from '../errors.ts';
import type { Cmdline } from './cmdline.ts';
import type { Requirements } from './requirements.ts';
import { ACCEPTABLE_STATUSES, isAcceptable, type TcbStatus } from './tcb-status.ts';

export const PEER_TCB_PARAMETER = 'dstack.peer_tcb';

/**
 * @returns the accepted statuses, from best to worst; undefined when nobody has a policy
 * @throws CONFIG_INVALID (the parameter is empty or names something else, or image and app have no status in common): a
 *   policy that cannot be read must not become none
 */
export function peerTcbPolicy(
  cmdline: Pick<Cmdline, 'first'>,
  compose: { readonly requirements?: Requirements },
): readonly TcbStatus[] | undefined {
  const text = cmdline.first(PEER_TCB_PARAMETER);
  const image = text === undefined ? undefined : parseStatuses(text);
  const app = compose.requirements?.peerTcbStatuses;
  if (image === undefined || app === undefined) return image ?? app;
  const both = image.filter((status) => app.includes(status));
  if (both.length > 0) return both;
  throw invalid(`and requirements.peer_tcb_statuses (${app.join(', ')}) have no status in common`, image.join(','));
}

function parseStatuses(text: string): TcbStatus[] {
  const words = text.split(',');
  if (!words.every(isAcceptable)) throw invalid(`must be some of ${ACCEPTABLE_STATUSES.join(', ')}`, text);
  return ACCEPTABLE_STATUSES.filter((status) => words.includes(status));
}

const invalid = (what: string, value: string): DstackError =>
  new DstackError('CONFIG_INVALID', `kernel parameter ${PEER_TCB_PARAMETER} ${what}`, {
    field: PEER_TCB_PARAMETER,
    value: value.slice(0, 200),
  });
