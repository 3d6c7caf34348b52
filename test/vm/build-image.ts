/** Builds the images once, before the first VM test: a compile inside a test would look like a hanging guest. */
import { ensureDevImage } from '../../initramfs/vm/dev-image.ts';

export default async function setup(): Promise<void> {
  const say = (text: string) => process.stderr.write(`image: ${text}\n`);
  for (const zfs of [false, true]) {
    await ensureDevImage({
      zfs,
      onCompile: (state) => say(`binaries ${state}`),
      onProgress: ({ step, state, detail, ms }) => {
        if (state === 'start' && detail) say(`${step}: ${detail}`);
        if (state === 'done' && (ms ?? 0) > 1000) say(`${step}: done in ${((ms ?? 0) / 1000).toFixed(1)} s`);
      },
    });
  }
}
