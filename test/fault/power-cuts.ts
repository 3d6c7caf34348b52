/**
 * Power cuts against data disks. Each disk is cut twice on its first boot, at the next two of ten moments (the first
 * write and the flush of each stage), then while it is open, opens, grows, is written to or closes; then the next disk.
 */
import type { FileSystem } from '../../src/fde/storage-options.ts';
import { Dice } from './dice.ts';
import { DiskLife } from './disk-life.ts';
import type { FrozenGuest } from './frozen-guest.ts';
import { emptyReport, type Report } from './report.ts';
import { MOMENTS, type Moment } from './stages.ts';

export interface RunOptions {
  readonly frozen: FrozenGuest;
  readonly cuts: number;
  readonly seed: number;
  readonly systems: readonly FileSystem[];
  readonly say: (text: string) => void;
}

/** Makes `cuts` power cuts, on as many disks as that takes, and checks each disk at its end. */
export async function cutPower({ frozen, cuts, seed, systems, say }: RunOptions): Promise<Report> {
  const began = performance.now();
  const report = emptyReport(seed);
  const dice = new Dice(seed);
  const offset = dice.below(MOMENTS.length / 2);
  for (let number = 0; report.cuts < cuts && report.failures.length < 5; number++) {
    const fs = systems[number % systems.length] as FileSystem;
    const life = new DiskLife({ frozen, fs, report, seed: dice.below(1e9), say });
    const pair = 2 * ((offset + Math.floor(number / systems.length)) % (MOMENTS.length / 2));
    const steps: (() => Promise<void>)[] = [
      () => life.cutFirstBoot(MOMENTS[pair] as Moment, 1 + dice.below(2)),
      () => life.cutFirstBoot(MOMENTS[pair + 1] as Moment, 1 + dice.below(2)),
      () => life.cutWriting(1 + dice.below(60)),
      () => life.cutOpening(1 + dice.below(8), dice.below(2) === 0),
      () => life.cutWriting(1 + dice.below(60)),
      () => life.cutClosing(1 + dice.below(8)),
    ];
    for (const step of steps) if (report.cuts < cuts) await step();
    await life.check();
  }
  report.seconds = Math.round((performance.now() - began) / 1000);
  return report;
}

/** The control: entries are called acknowledged without an fsync. The cut must lose some, or the disk proves nothing. */
export async function control({
  frozen,
  fs,
  say,
}: Pick<RunOptions, 'frozen' | 'say'> & { fs: FileSystem }): Promise<Report> {
  const report = emptyReport(0);
  const life = new DiskLife({ frozen, fs, report, seed: 7, say: (text) => say(`control: ${text}`), fsync: false });
  await life.cutWriting(20);
  await life.check();
  return report;
}
