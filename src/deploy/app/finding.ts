/** What `app check` finds: one finding, one place, what to do. */

/**
 * refused = this boot, or docker in it, will not start the app; unpinned = what runs can change without changing the
 * measurement; warning = it starts, but hardly as intended; note = good to know.
 */
export type FindingLevel = 'refused' | 'unpinned' | 'warning' | 'note';

export interface AppFinding {
  readonly level: FindingLevel;
  /** stable name of the rule, for scripts */
  readonly rule: string;
  /** field of app-compose.json or of the compose file, such as `services.web.image` */
  readonly where: string;
  readonly text: string;
  /** what to do about it */
  readonly fix?: string;
}

const ORDER: readonly FindingLevel[] = ['refused', 'unpinned', 'warning', 'note'];

/** Sorted by how bad they are; within a level they stay in the order of the file. */
export const sortFindings = (findings: readonly AppFinding[]): AppFinding[] =>
  findings.toSorted((a, b) => ORDER.indexOf(a.level) - ORDER.indexOf(b.level));

export const countOf = (findings: readonly AppFinding[], level: FindingLevel): number =>
  findings.filter((finding) => finding.level === level).length;

/** A list of findings that rules add to. */
export class Findings {
  readonly list: AppFinding[] = [];

  add(level: FindingLevel, rule: string, where: string, text: string, fix?: string): void {
    this.list.push({ level, rule, where, text, ...(fix === undefined ? {} : { fix }) });
  }
}

/** The findings for people, a line each and its remedy below. */
export function findingsText(findings: readonly AppFinding[]): string[] {
  const label: Record<FindingLevel, string> = {
    refused: 'REFUSED',
    unpinned: 'unpinned',
    warning: 'warning',
    note: 'note',
  };
  return findings.flatMap(({ level, where, text, fix }) => [
    `${label[level].padEnd(8)}  ${where}: ${text}`,
    ...(fix === undefined ? [] : [`          -> ${fix}`]),
  ]);
}
