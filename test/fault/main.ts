/** `npm run fault -- disk`: proof by power cuts. Takes minutes and reports; exit status 1 when something was lost. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cacheRoot } from '../../initramfs/lib/cache.ts';
import { ensureDevImage } from '../../initramfs/vm/dev-image.ts';
import type { FileSystem } from '../../src/fde/storage-options.ts';
import { FrozenGuest } from './frozen-guest.ts';
import { control, cutPower } from './power-cuts.ts';
import { holds, reportText } from './report.ts';

const USAGE = `usage: npm run fault -- disk [options]
  --cuts N        how many power cuts (60)
  --seed N        which ones (by the clock; the report says it)
  --fs LIST       file systems (ext4,zfs)
  --no-control    leave out the control run without fsync
  --json          print the report as JSON`;

const SYSTEMS: readonly string[] = ['ext4', 'zfs'];

function options() {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      cuts: { type: 'string', default: '60' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      fs: { type: 'string', default: SYSTEMS.join(',') },
      'no-control': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const systems = values.fs.split(',');
  const numbers = [values.cuts, values.seed];
  if (positionals.join(' ') !== 'disk' || !systems.every((fs) => SYSTEMS.includes(fs))) throw new Error('wrong words');
  if (!numbers.every((text) => /^\d{1,9}$/.test(text))) throw new Error('--cuts and --seed take whole numbers');
  return {
    cuts: Number(values.cuts),
    seed: Number(values.seed),
    systems: systems as FileSystem[],
    withControl: !values['no-control'],
    json: values.json,
  };
}

async function disk({ cuts, seed, systems, withControl, json }: ReturnType<typeof options>): Promise<void> {
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
  say(`seed ${seed}; booting the guest that all trials begin with`);
  const frozen = await FrozenGuest.make(image, systems, join(cacheRoot, 'vm/fault'));
  say('the guest is ready');
  const without = withControl ? await control({ frozen, fs: systems[0] as FileSystem, say }) : undefined;
  const report = await cutPower({ frozen, cuts, seed, systems, say });
  if (json) console.log(JSON.stringify({ report, control: without }, null, 2));
  else {
    console.log(reportText(report));
    if (without)
      console.log(`control without fsync: ${without.lostAcknowledged} acknowledged entries lost, as must be`);
  }
  const proves = without === undefined || (without.lostAcknowledged > 0 && without.bricked === 0);
  if (!proves) console.error('error: the control run lost nothing: these cuts prove nothing');
  if (!proves || !holds(report)) process.exitCode = 1;
}

try {
  await disk(options());
} catch (thrown) {
  const known =
    thrown instanceof TypeError || (thrown instanceof Error && /^(wrong words|--cuts)/.test(thrown.message));
  console.error(known ? USAGE : thrown);
  process.exitCode = known ? 2 : 1;
}
