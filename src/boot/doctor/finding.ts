/** What a check of the doctor found. */

export interface Finding {
  readonly check: string;
  readonly status: 'ok' | 'warning' | 'failed' | 'skipped';
  /** what was found, one line */
  readonly text: string;
  /** what to do; absent when there is nothing to do */
  readonly advice?: string;
}

/** A finding before it has the name of its check. */
export type FindingResult = Omit<Finding, 'check'>;

export const ok = (text: string): FindingResult => ({ status: 'ok', text });
export const skipped = (text: string): FindingResult => ({ status: 'skipped', text });
export const warning = (text: string, advice: string): FindingResult => ({ status: 'warning', text, advice });
export const failed = (text: string, advice: string): FindingResult => ({ status: 'failed', text, advice });
