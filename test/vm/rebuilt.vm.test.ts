/** A changed binary reaches the guest, and only what depends on it is built again. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { projectRoot } from '../../initramfs/lib/cache.ts';
import { ensureDevImage } from '../../initramfs/vm/dev-image.ts';
import type { Machine } from '../../initramfs/vm/machine.ts';
import type { BootImage } from '../../initramfs/vm/machine-options.ts';
import { boot, NOTHING_STARTED, vmDir } from './support.ts';

const VERSION = '0.0.1-rebuilt';
const steps = new Map<string, number>();
let image: BootImage;
let vm: Machine;

beforeAll(async () => {
  const out = join(vmDir('rebuilt'), 'bin');
  mkdirSync(out, { recursive: true });
  const bun = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
  const define = ['--define', `DSTACK_VERSION=${JSON.stringify(VERSION)}`];
  const flags = ['--compile', '--minify', '--format=esm', '--splitting', `--compile-executable-path=${bun}`];
  const options = { cwd: projectRoot, stdio: 'ignore' } as const;
  execFileSync(bun, ['build', ...flags, ...define, 'bin/dstack-util.ts', '--outfile', `${out}/dstack-util`], options);
  image = await ensureDevImage({
    zfs: false,
    binaries: { util: join(out, 'dstack-util'), sim: join(projectRoot, 'dist/dstack-sim') },
    onProgress: ({ step, state, ms }) => {
      if (state === 'done') steps.set(step, ms ?? 0);
    },
  });
});
afterAll(() => vm?.kill().then(() => vm.stop()));

it('makes the squashfs and its hash tree again and nothing else', () => {
  for (const [step, ms] of steps) {
    if (!['root image', 'verity'].includes(step)) expect(ms, `${step} should come from the cache`).toBeLessThan(2000);
  }
});

it('boots the new binary', async () => {
  vm = await boot('rebuilt', { image, dataDisk: 'none', kernelArgs: NOTHING_STARTED });
  expect(await vm.ok('dstack-util --version', { timeoutMs: 110_000 })).toContain(VERSION);
});
