/** `npm run fault -- disk`: proof by power cuts. Takes minutes and reports; exit status 1 when something was lost. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cacheRoot } from '../../initramfs/lib/cache.ts';
import { ensureDevImage } from '../../initramfs/vm/dev-image.ts';
import type { FileSystem } from '../../src/config/storage-options.ts';
import { FrozenGuest } from './frozen-guest.ts';
import { cutPower } from './power-cuts.ts';
import { holds, reportText } from './report.ts';

const USAGE = `usage: npm run fault -- disk [options]
  --cuts N        how many power cuts (60)
  --seed N        which ones (by the clock; the report says it)
  --sector BYTES  what the disk never tears: 512 or 4096 (512)
  --fs LIST       file systems (ext4,zfs)
  --minutes N     begin no more cuts after this time
  --json          print the report as JSON`;

const SYSTEMS: readonly string[] = ['ext4', 'zfs'];

function options() {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      cuts: { type: 'string', default: '60' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      sector: { type: 'string', default: '512' },
      fs: { type: 'string', default: SYSTEMS.join(',') },
      minutes: { type: 'string', default: '600' },
      json: { type: 'boolean', default: false },
    },
  });
  const systems = values.fs.split(',');
  const numbers = [values.cuts, values.seed, values.minutes];
  if (positionals.join(' ') !== 'disk' || !systems.every((fs) => SYSTEMS.includes(fs))) throw new Error('wrong words');
  if (!numbers.every((text) => /^\d{1,9}$/.test(text)))
    throw new Error('--cuts, --seed and --minutes take whole numbers');
  if (!['512', '4096'].includes(values.sector)) throw new Error('--sector takes 512 or 4096');
  return {
    cuts: Number(values.cuts),
    seed: Number(values.seed),
    sector: Number(values.sector),
    minutes: Number(values.minutes),
    systems: systems as FileSystem[],
    json: values.json,
  };
}

async function disk({ cuts, seed, sector, minutes, systems, json }: ReturnType<typeof options>): Promise<void> {
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
  const report = await cutPower({ guestFor, cuts, seed, sector, systems, say, until: began + minutes * 60_000 });
  console.log(json ? JSON.stringify(report, null, 2) : reportText(report));
  if (!holds(report)) process.exitCode = 1;
}

try {
  await disk(options());
} catch (thrown) {
  const known =
    thrown instanceof TypeError || (thrown instanceof Error && /^(wrong words|--cuts)/.test(thrown.message));
  console.error(known ? USAGE : thrown);
  process.exitCode = known ? 2 : 1;
}
