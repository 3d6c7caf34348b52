/** Which TCB statuses of Intel's verification count as good (Intel PCS API, TCB info; worst first is refused). */
import { ACCEPTABLE_STATUSES, isAcceptable, TCB_STATUSES, type TcbStatus } from '../config/tcb-status.ts';
import { DstackError } from '../errors.ts';

export { TCB_STATUSES, type TcbStatus };

/** What passes unless the user allows more. */
export const DEFAULT_ALLOWED: readonly TcbStatus[] = ['UpToDate'];

/** The allowed set with what the user adds. @throws INPUT_INVALID for an unknown status, and for Revoked */
export function allowedStatuses(extra: readonly string[]): readonly TcbStatus[] {
  for (const status of extra) {
    if (!isAcceptable(status)) {
      throw new DstackError('INPUT_INVALID', `TCB status ${JSON.stringify(status)} cannot be allowed`, {
        field: '--allow-tcb',
        value: status,
        hint: `one of ${ACCEPTABLE_STATUSES.join(', ')}`,
      });
    }
  }
  return ACCEPTABLE_STATUSES.filter((status) => DEFAULT_ALLOWED.includes(status) || extra.includes(status));
}

/** The worse of several statuses; an unknown one is worse than all. */
export function worstStatus(statuses: readonly string[]): string {
  const rank = (status: string): number => {
    const index = (TCB_STATUSES as readonly string[]).indexOf(status);
    return index < 0 ? TCB_STATUSES.length : index;
  };
  return statuses.reduce((worst, status) => (rank(status) > rank(worst) ? status : worst), 'UpToDate');
}
