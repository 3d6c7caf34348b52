/** The kernel module of the simulated TDX device, for development images only. */
import { join } from 'node:path';
import { cached, hashTree, keyOf, projectRoot, prune } from './cache.ts';
import { buildPlace, leanModules } from './kbuild.ts';
import { runInTools, type Tools } from './tools.ts';

const source = join(projectRoot, 'initramfs/tdx-sim');

/** Builds dstack_tdx_sim.ko unless it is cached for these sources and this kernel; returns its folder. */
export async function ensureTdxSim(tools: Tools): Promise<string> {
  const key = keyOf('tdx-sim 2', tools.kernelVersion, await hashTree(source));
  const dir = await cached('tdx-sim', key, async (temp) => {
    const script = [
      buildPlace,
      'cp "$SRC"/Kbuild "$SRC"/*.[ch] .',
      `make -C "/lib/modules/$KVER/build" M=/build modules ${leanModules}`,
      'strip --strip-debug dstack_tdx_sim.ko',
      'cp dstack_tdx_sim.ko "$OUT"/',
    ].join('\n');
    await runInTools(['sh', '-ec', script], { env: { KVER: tools.kernelVersion, SRC: source, OUT: temp, WORK: temp } });
  });
  await prune('tdx-sim', 4);
  return dir;
}
