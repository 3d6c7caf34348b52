/** Which TCB statuses of Intel's verification count as good (Intel PCS API, TCB info; worst first is refused). */
import { DstackError } from '../errors.ts';

/** The statuses Intel defines, from best to worst. */
export const TCB_STATUSES = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
  'OutOfDate',
  'OutOfDateConfigurationNeeded',
  'Revoked',
] as const;
export type TcbStatus = (typeof TCB_STATUSES)[number];

/** What passes unless the user allows more. */
export const DEFAULT_ALLOWED: readonly TcbStatus[] = ['UpToDate'];

/** The allowed set with what the user adds. @throws INPUT_INVALID for an unknown status, and for Revoked */
export function allowedStatuses(extra: readonly string[]): readonly TcbStatus[] {
  const known = TCB_STATUSES.filter((status) => status !== 'Revoked');
  for (const status of extra) {
    if (!(known as readonly string[]).includes(status)) {
      throw new DstackError('INPUT_INVALID', `TCB status ${JSON.stringify(status)} cannot be allowed`, {
        field: '--allow-tcb',
        value: status,
        hint: `one of ${known.join(', ')}`,
      });
    }
  }
  return known.filter((status) => DEFAULT_ALLOWED.includes(status) || extra.includes(status));
}

/** The worse of several statuses; an unknown one is worse than all. */
export function worstStatus(statuses: readonly string[]): string {
  const rank = (status: string): number => {
    const index = (TCB_STATUSES as readonly string[]).indexOf(status);
    return index < 0 ? TCB_STATUSES.length : index;
  };
  return statuses.reduce((worst, status) => (rank(status) > rank(worst) ? status : worst), 'UpToDate');
}
