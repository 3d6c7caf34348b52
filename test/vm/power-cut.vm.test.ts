/** Six of the power cuts of `npm run fault -- disk`, and the control that shows that the disk under them really forgets. */
import { mkdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ensureDevImage } from '../../initramfs/vm/dev-image.ts';
import { FrozenGuest } from '../fault/frozen-guest.ts';
import { control, cutPower, emptyReport } from '../fault/power-cuts.ts';
import { vmDir } from './support.ts';

const dir = vmDir('power-cut');
const lines: string[] = [];
const say = (text: string): void => {
  lines.push(text);
};
let frozen: FrozenGuest;
beforeAll(async () => {
  mkdirSync(dir, { recursive: true });
  frozen = await FrozenGuest.make(await ensureDevImage({ zfs: true }), dir);
});
afterAll(() => frozen?.discard());

it('loses what was not flushed', async () => {
  const { lostAcknowledged, bricked } = await control({ frozen, say }, 'ext4');
  expect(lostAcknowledged, lines.join('\n')).toBeGreaterThan(0);
  expect(bricked).toBe(0);
});

it('comes up after every cut, with every acknowledged write', async () => {
  const report = emptyReport();
  await cutPower({ frozen, cuts: 6, seed: Date.now() % 1e6, systems: ['ext4', 'zfs'], report, say });
  const what = lines.join('\n');
  expect(report, what).toMatchObject({ cuts: 6, bricked: 0, lostAcknowledged: 0, formattedAnew: 0 });
  expect(report.acknowledged, what).toBeGreaterThan(0);
});
