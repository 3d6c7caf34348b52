/** `npm run fault -- disk`: proofs by fault. They take minutes and report; exit status 1 when something was lost. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cacheRoot } from '../../initramfs/lib/cache.ts';
import { ensureDevImage } from '../../initramfs/vm/dev-image.ts';
import { FrozenGuest } from './frozen-guest.ts';
import { control, cutPower, emptyReport, type FileSystem, type Report, replayFirstBoot } from './power-cuts.ts';

const USAGE = `usage: npm run fault -- disk [options]
  --cuts N        how many power cuts (60)
  --seed N        which ones (1)
  --fs LIST       file systems (ext4,zfs)
  --minutes N     end after this time with what there is
  --resume FILE   add to the report in this file, and go on with its seeds
  --replay        instead of random cuts: stop one recorded first boot after every change
  --no-control    leave out the control run without fsync`;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    cuts: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    fs: { type: 'string', default: 'ext4,zfs' },
    minutes: { type: 'string' },
    resume: { type: 'string' },
    replay: { type: 'boolean', default: false },
    'no-control': { type: 'boolean', default: false },
  },
});

interface Saved {
  report: Report;
  control?: Report;
  /** where a replay goes on, by file system */
  replayed?: Partial<Record<FileSystem, number>>;
}

async function disk(): Promise<void> {
  const dir = join(cacheRoot, 'vm/fault');
  mkdirSync(dir, { recursive: true });
  const saved: Saved =
    values.resume !== undefined && existsSync(values.resume)
      ? (JSON.parse(readFileSync(values.resume, 'utf8')) as Saved)
      : { report: emptyReport() };
  const say = (text: string): void => console.error(text);
  const began = performance.now();
  const until = values.minutes === undefined ? undefined : began + Number(values.minutes) * 60_000;
  const image = await ensureDevImage({ zfs: true });
  say('booting the guest that all trials begin with');
  const frozen = await FrozenGuest.make(image, dir);
  say(`frozen after ${((performance.now() - began) / 1000).toFixed(0)} s`);
  try {
    const systems = values.fs.split(',') as FileSystem[];
    if (!values['no-control'] && saved.control === undefined) {
      saved.control = await control({ frozen, say }, systems[0] ?? 'ext4');
      say(`control without fsync: ${saved.control.lostAcknowledged} acknowledged entries lost, as must be`);
    }
    const cuts = Number(values.cuts) - saved.report.cuts;
    const seed = Number(values.seed) * 7919 + saved.report.cuts;
    const { report } = saved;
    const limit = until === undefined ? {} : { until };
    if (values.replay) {
      for (const fs of systems) {
        saved.replayed ??= {};
        saved.replayed[fs] = await replayFirstBoot({ frozen, report, say, seed, ...limit }, fs, saved.replayed[fs]);
      }
    } else await cutPower({ frozen, cuts, seed, systems, report, say, ...limit });
  } finally {
    frozen.discard();
    if (values.resume !== undefined) writeFileSync(values.resume, `${JSON.stringify(saved, null, 2)}\n`);
  }
  console.log(JSON.stringify(saved, null, 2));
  const { bricked, lostAcknowledged, formattedAnew } = saved.report;
  const proves = saved.control === undefined || saved.control.lostAcknowledged > 0;
  if (bricked + lostAcknowledged + formattedAnew > 0 || !proves) process.exitCode = 1;
}

if (positionals[0] === 'disk') {
  await disk();
  process.exit();
} else {
  console.error(USAGE);
  process.exitCode = 2;
}
