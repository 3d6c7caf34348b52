/** `gateway-refresh`: one registration with the gateway. */
import type { Command } from 'commander';
import { PATHS } from '../config/paths.ts';
import * as ui from '../ui.ts';

export default function define(command: Command): void {
  command
    .option('--work-dir <dir>', 'work folder of setup', PATHS.dstack)
    .option('--force', 'also when nothing has changed')
    .action(async ({ workDir }: { workDir: string }) => {
      const { gatewayUnsupported, gatewayWanted } = await import('../net/gateway.ts');
      if (await gatewayWanted(workDir)) throw gatewayUnsupported();
      ui.info('the app wants no gateway: nothing to do');
    });
}
