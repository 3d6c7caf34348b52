/** `npm run fault -- disk`: proof by power cuts. Takes minutes and reports; exit status 1 when something was lost. */
import { join } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import { cacheRoot } from '../../initramfs/lib/cache.ts';
import { ensureDevImage } from '../../initramfs/vm/dev-image.ts';
import { npmScript, runScript, wholeNumber } from '../../scripts/lib/script.ts';
import type { FileSystem } from '../../src/config/storage-options.ts';
import { FrozenGuest } from './frozen-guest.ts';
import { cutPower } from './power-cuts.ts';
import { holds, reportText } from './report.ts';

const SYSTEMS: readonly FileSystem[] = ['ext4', 'zfs'];

interface Flags {
  readonly cuts: number;
  readonly seed: number;
  readonly sector: '512' | '4096';
  readonly minutes: number;
  readonly fs: readonly FileSystem[];
  readonly json: boolean;
}

function systems(text: string): FileSystem[] {
  const names = text.split(',');
  const known = SYSTEMS.filter((name) => names.includes(name));
  if (known.length === names.length) return known;
  throw new InvalidArgumentError(`It must be a list of ${SYSTEMS.join(', ')}.`);
}

async function disk({ cuts, seed, sector, minutes, fs: systems, json }: Flags): Promise<void> {
  const began = performance.now();
  const say = (text: string): void => {
    console.error(`${((performance.now() - began) / 1000).toFixed(1).padStart(7)} s  ${text}`);
  };
  const image = await ensureDevImage({
    zfs: true,
    onProgress: ({ step, state, ms }) => {
      if (state === 'done' && (ms ?? 0) > 1000) say(`${step} is built`);
    },
  });
  const made = new Map<FileSystem, Promise<FrozenGuest>>();
  const guestFor = (fs: FileSystem): Promise<FrozenGuest> => {
    const known = made.get(fs);
    if (known) return known;
    say(`booting the guest that all trials with ${fs} begin with`);
    const making = FrozenGuest.make(image, fs, join(cacheRoot, 'vm/fault'));
    made.set(fs, making);
    return making;
  };
  say(`${cuts} cuts, seed ${seed}`);
  const report = await cutPower({
    guestFor,
    cuts,
    seed,
    sector: Number(sector),
    systems,
    say,
    until: began + minutes * 60_000,
  });
  console.log(json ? JSON.stringify(report, null, 2) : reportText(report));
  if (!holds(report)) process.exitCode = 1;
}

const command = npmScript('fault', 'prove by faults that nothing is lost');
command
  .command('disk')
  .description('cut the power of the data disk while it is made, grown and used; boots a small VM, takes minutes')
  .helpOption('-h, --help', 'print this help')
  .option('--cuts <n>', 'how many power cuts', wholeNumber(1, 1e9), 60)
  .addOption(
    new Option('--seed <n>', 'which ones')
      .argParser(wholeNumber(0, 1e9))
      .default(Date.now() % 1_000_000, 'by the clock; the report says it'),
  )
  .addOption(new Option('--sector <bytes>', 'what the disk never tears').choices(['512', '4096']).default('512'))
  .addOption(new Option('--fs <list>', 'file systems').argParser(systems).default(SYSTEMS, SYSTEMS.join(',')))
  .option('--minutes <n>', 'begin no more cuts after this time', wholeNumber(1, 1e9), 600)
  .option('--json', 'print the report as JSON', false)
  .action(disk);
await runScript(command);
