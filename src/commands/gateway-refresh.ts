/** `gateway-refresh`: one registration with the gateway. */
import type { Command } from 'commander';
import { PATHS } from '../config/paths.ts';
import { loadGateway } from '../net/net.ts';
import * as ui from '../ui.ts';

export default function define(command: Command): void {
  command
    .option('--work-dir <dir>', 'work folder of setup', PATHS.dstack)
    .option('--force', 'register even when nothing has changed', false)
    .action(async ({ workDir, force }: { workDir: string; force: boolean }) => {
      const { refreshGateway, realNetMachine } = await loadGateway();
      const outcome = await refreshGateway({ workDir, force }, realNetMachine());
      if (outcome === 'not wanted') ui.info('the app wants no gateway: nothing to do');
      if (outcome === 'unchanged') ui.info('the gateway knows this guest, nothing has changed');
    });
}
