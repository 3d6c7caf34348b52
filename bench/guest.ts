/**
 * What the guest itself costs before the app: memory in use, and the processor time of our own processes until the agent
 * is ready. In a development image, so with the simulated TEE, which is named apart; docker is not started.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { demoAppComposeText } from '../initramfs/demo/app-compose.ts';
import { cacheRoot } from '../initramfs/lib/cache.ts';
import { ensureDevImage } from '../initramfs/vm/dev-image.ts';
import { Machine } from '../initramfs/vm/machine.ts';
import { printFigure } from './print.ts';
import { note } from './report.ts';

const OTHERS = 'docker.service docker.socket containerd.service app-compose.service dstack-gateway-checker.service';

export async function benchGuest(): Promise<void> {
  const dir = join(cacheRoot, 'vm/bench-guest');
  const vm = await Machine.boot({
    image: await ensureDevImage({ zfs: false }),
    dir,
    share: { 'app-compose.json': demoAppComposeText() },
    kernelArgs: ['systemd.unit=sysinit.target'],
  });
  try {
    await vm.ok(`systemctl mask --runtime ${OTHERS}`, { timeoutMs: 120_000 });
    await vm.ok('systemctl start dstack-guest-agent chrony systemd-networkd', { timeoutMs: 400_000 });
    const milliseconds = async (unit: string) => Number(await vm.ok(`systemctl show -P CPUUsageNSec ${unit}`)) / 1e6;
    const [boot, agent] = [await milliseconds('dstack-prepare'), await milliseconds('dstack-guest-agent')];
    const megabytes = async (command: string) => Number(await vm.ok(command)) / 1024;
    const used = await megabytes("awk '/^MemTotal/{t=$2} /^MemAvailable/{a=$2} END{print t-a}' /proc/meminfo");
    const simulator = await megabytes("awk '/^Pss:/{s+=$2} END{print s}' /proc/$(pidof -s dstack-sim)/smaps_rollup");
    console.log('\nthe guest before the app');
    const cpu = 'own processor time until the agent is ready';
    printFigure(note({ bench: 'boot', name: cpu, unit: 'ms', budget: 1500 }, [boot + agent]));
    printFigure(note({ bench: 'boot', name: `${cpu}: prepare and setup`, unit: 'ms' }, [boot]));
    printFigure(note({ bench: 'boot', name: `${cpu}: agent`, unit: 'ms' }, [agent]));
    printFigure(
      note({ bench: 'boot', name: 'memory in use before the app', unit: 'MB', budget: 220 }, [used - simulator]),
    );
    printFigure(note({ bench: 'boot', name: 'memory of the simulated TEE beside it', unit: 'MB' }, [simulator]));
  } finally {
    await vm.kill();
    await vm.stop();
    await rm(dir, { recursive: true, force: true });
  }
}
