/**
 * Power cuts against data disks. Each disk is cut twice on its first boot, at the next two of ten moments (the first
 * write and the flush of each stage), then while it is open, opens, grows, is written to or closes; then the next disk.
 */
import type { FileSystem } from '../../src/config/storage-options.ts';
import { Dice } from './dice.ts';
import { DiskLife } from './disk-life.ts';
import type { FrozenGuest } from './frozen-guest.ts';
import { emptyReport, type Report } from './report.ts';
import { MOMENTS, type Moment, timesOf } from './stages.ts';

export interface RunOptions {
  /** the guest that all trials with a file system begin with */
  readonly guestFor: (fs: FileSystem) => Promise<FrozenGuest>;
  readonly cuts: number;
  readonly seed: number;
  /** bytes that a cut never tears; default 512 */
  readonly sector?: number;
  readonly systems: readonly FileSystem[];
  readonly say: (text: string) => void;
  /** begin no more cuts after this time of performance.now() */
  readonly until?: number;
}

/** More of them say nothing new. */
const MOST_FAILURES = 5;

/** Makes `cuts` power cuts, on as many disks as that takes, and checks each at its end; the last one with the control. */
export async function cutPower({
  guestFor,
  cuts,
  seed,
  sector = 512,
  systems,
  say,
  until,
}: RunOptions): Promise<Report> {
  const began = performance.now();
  const report = emptyReport(seed);
  const dice = new Dice(seed);
  const offset = dice.below(MOMENTS.length / 2);
  const goOn = (): boolean => report.cuts < cuts && (until === undefined || performance.now() < until);
  for (let number = 0; goOn() && report.failures.length < MOST_FAILURES; number++) {
    const fs = systems[number % systems.length] as FileSystem;
    const life = new DiskLife({ frozen: await guestFor(fs), fs, report, seed: dice.below(1e9), sector, say });
    const pair = 2 * ((offset + Math.floor(number / systems.length)) % (MOMENTS.length / 2));
    const [first, second] = [MOMENTS[pair] as Moment, MOMENTS[pair + 1] as Moment];
    const steps: (() => Promise<void>)[] = [
      () => life.cutFirstBoot(first, 1 + dice.below(timesOf(first))),
      () => life.cutFirstBoot(second, 1 + dice.below(timesOf(second))),
      () => life.cutWriting(1 + dice.below(60)),
      () => life.cutOpening(1 + dice.below(8), dice.below(2) === 0),
      () => life.cutWriting(1 + dice.below(60)),
      () => life.cutClosing(1 + dice.below(8)),
    ];
    for (const step of steps) if (goOn()) await step();
    await (goOn() ? life.check() : life.control());
  }
  report.seconds = Math.round((performance.now() - began) / 1000);
  return report;
}
