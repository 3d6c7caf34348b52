/**
 * Six of the power cuts of `npm run fault -- disk`: another place at each run, said by its seed. The disk has physical
 * sectors of 4096 bytes; what one of 512 bytes can do to the superblock of ext4, and what is done about it, stands in docs/disk.md.
 */
import { expect, it } from 'vitest';
import { ensureDevImage } from '../../initramfs/vm/dev-image.ts';
import { FrozenGuest } from '../fault/frozen-guest.ts';
import { cutPower } from '../fault/power-cuts.ts';
import { reportText } from '../fault/report.ts';
import { vmDir } from './support.ts';

it('comes up after every cut, with every acknowledged write', { timeout: 900_000 }, async () => {
  const image = await ensureDevImage({ zfs: true });
  const lines: string[] = [];
  const report = await cutPower({
    guestFor: (fs) => FrozenGuest.make(image, fs, vmDir('power-cut')),
    cuts: 6,
    seed: Date.now() % 1_000_000,
    sector: 4096,
    systems: ['ext4'],
    say: (text) => void lines.push(text),
  });
  const what = `${reportText(report)}\n${lines.join('\n')}`;
  expect(report, what).toMatchObject({ cuts: 6, bricked: 0, lostAcknowledged: 0, formattedAnew: 0 });
  expect(report.acknowledged, what).toBeGreaterThan(0);
  // without fsync the cut does lose entries: the disk under all this forgets what was not flushed
  expect(report.control?.lost, what).toBeGreaterThan(0);
  expect(report.cutsWithLoss, what).toBeGreaterThan(0);
});
