/** `gateway-checker`: the service that keeps the registration alive. Ends at once when the app wants no gateway. */
import type { Command } from 'commander';
import { PATHS } from '../config/paths.ts';
import * as ui from '../ui.ts';

export default function define(command: Command): void {
  command
    .option('--work-dir <dir>', 'work folder of setup', PATHS.dstack)
    .addHelpText('after', '\nExit status 0: the app wants no gateway. 3: it does, which this version cannot do.')
    .action(async ({ workDir }: { workDir: string }) => {
      const { sdNotify } = await import('../sys/notify.ts');
      const { gatewayUnsupported, gatewayWanted } = await import('../net/gateway.ts');
      await sdNotify('READY=1');
      if (await gatewayWanted(workDir)) throw gatewayUnsupported();
      ui.info('the app wants no gateway: nothing to do');
    });
}
