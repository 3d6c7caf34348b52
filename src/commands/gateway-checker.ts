/** `gateway-checker`: the service that keeps the registration alive. Ends at once when the app wants no gateway. */
import type { Command } from 'commander';
import { PATHS } from '../config/paths.ts';
import { loadGateway, loadGatewayChecker } from '../net/net.ts';
import * as ui from '../ui.ts';

export default function define(command: Command): void {
  command
    .option('--work-dir <dir>', 'work folder of setup', PATHS.dstack)
    .addHelpText(
      'after',
      '\nExit status 0: the app wants no gateway, or SIGTERM. 3: it does, but its keys or .sys-config.json name none.',
    )
    .action(async ({ workDir }: { workDir: string }) => {
      const { sdNotify } = await import('../sys/notify.ts');
      const { checkGatewaySettings, gatewayWanted, realNetMachine } = await loadGateway();
      await sdNotify('READY=1');
      if (!(await gatewayWanted(workDir))) {
        ui.info('the app wants no gateway: nothing to do');
        return;
      }
      await checkGatewaySettings(workDir);
      const { runChecker } = await loadGatewayChecker();
      const { setTimeout: sleep } = await import('node:timers/promises');
      const stop = new AbortController();
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
      await runChecker({
        workDir,
        machine: realNetMachine(),
        notify: sdNotify,
        clock: () => performance.now() / 1000,
        sleep: (seconds) => sleep(seconds * 1000, undefined, { signal: stop.signal }).catch(() => {}),
        random: Math.random,
        signal: stop.signal,
      });
    });
}
