/** What a run of power cuts has seen. */
import type { FileSystem } from '../../src/config/storage-options.ts';

/** What the guest did when the power went. `idle`: the volume was open and nobody wrote. */
export type CutKind = 'first boot' | 'open' | 'grow' | 'writing' | 'close' | 'idle';

export interface Report {
  seed: number;
  cuts: number;
  byKind: Partial<Record<CutKind, number>>;
  byFileSystem: Partial<Record<FileSystem, number>>;
  /** cuts of first boots, by stage */
  byStage: Record<string, number>;
  /** boots that opened the volume: made it, finished it or found it */
  recoveries: number;
  /** journal entries that were acknowledged */
  acknowledged: number;
  /** of these, entries that were not there later */
  lostAcknowledged: number;
  /** boots that did not come up */
  bricked: number;
  /** boots in which a volume that had been ready was made again */
  formattedAnew: number;
  /** cuts that came upon data in the cache, and bytes that were lost with it */
  cutsWithLoss: number;
  lostBytes: number;
  /** QEMU ended by itself: a cut too, but nobody's choice */
  emulatorAborts: number;
  /** entries of the control that were called acknowledged without an fsync, and how many of them a cut has lost */
  control?: { readonly claimed: number; readonly lost: number };
  seconds: number;
  failures: string[];
}

export const emptyReport = (seed: number): Report => ({
  seed,
  cuts: 0,
  byKind: {},
  byFileSystem: {},
  byStage: {},
  recoveries: 0,
  acknowledged: 0,
  lostAcknowledged: 0,
  bricked: 0,
  formattedAnew: 0,
  cutsWithLoss: 0,
  lostBytes: 0,
  emulatorAborts: 0,
  seconds: 0,
  failures: [],
});

export function count<K extends string>(map: Partial<Record<K, number>>, key: K): void {
  map[key] = (map[key] ?? 0) + 1;
}

/** `lost`: bytes of the cache. */
export function countCut(report: Report, kind: CutKind, fs: FileSystem, lost: number): void {
  report.cuts++;
  count(report.byKind, kind);
  count(report.byFileSystem, fs);
  if (lost > 0) report.cutsWithLoss++;
  report.lostBytes += lost;
}

/** True when nothing was lost, and the control shows that the disk can lose something. */
export const holds = ({ bricked, lostAcknowledged, formattedAnew, control }: Report): boolean =>
  bricked + lostAcknowledged + formattedAnew === 0 && control !== undefined && control.lost > 0;

/** The same in words, a line a fact. */
export function reportText(report: Report): string {
  const list = (map: Partial<Record<string, number>>) =>
    Object.entries(map)
      .map(([key, number]) => `${number} ${key}`)
      .join(', ');
  const { cuts, recoveries, acknowledged, lostAcknowledged, bricked, formattedAnew, control, failures } = report;
  return [
    `${cuts} power cuts (${list(report.byKind)}; ${list(report.byFileSystem)}), seed ${report.seed}, ${report.seconds} s`,
    `first boots were cut at: ${list(report.byStage)}`,
    `${report.cutsWithLoss} cuts lost data of the cache, ${report.lostBytes} bytes in all`,
    `${recoveries} boots came up, ${bricked} did not, ${formattedAnew} made a ready volume again`,
    `${acknowledged} acknowledged entries, ${lostAcknowledged} of them lost`,
    `control: ${control?.lost} of ${control?.claimed} entries without fsync lost, as must be`,
    ...(report.emulatorAborts > 0 ? [`QEMU ended by itself, or never answered, ${report.emulatorAborts} times`] : []),
    ...failures,
  ].join('\n');
}
