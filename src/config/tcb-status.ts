/** The TCB statuses of Intel's verification (Intel PCS API, TCB info), as documents and options name them. */

/** From best to worst. */
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

/** What a policy may name: nobody may accept a revoked platform. */
export const ACCEPTABLE_STATUSES: readonly TcbStatus[] = TCB_STATUSES.filter((status) => status !== 'Revoked');

/** Whether a text names a status that may be accepted; the spelling is Intel's, letter for letter. */
export const isAcceptable = (status: string): status is TcbStatus =>
  (ACCEPTABLE_STATUSES as readonly string[]).includes(status);
