/** `remove-orphans`: remove containers of services that the compose file no longer has. */
import type { Command } from 'commander';
import { loadOrphans } from '../deploy/deploy.ts';
import * as ui from '../ui.ts';

interface Options {
  readonly compose: string;
  readonly dryRun?: boolean;
  readonly dockerd: boolean;
  readonly dockerRoot: string;
  readonly json?: boolean;
}

const SHORT_ID = 12;

export default function define(command: Command): void {
  command
    .requiredOption('-f, --compose <file>', 'compose file of the app')
    .option('-n, --dry-run', 'only print what would be removed')
    .option('--no-dockerd', 'work on the data folder of docker, while dockerd is stopped')
    .option('-d, --docker-root <folder>', 'data folder of docker, with --no-dockerd', '/var/lib/docker')
    .option('--json', 'print the result as JSON')
    .action(async (options: Options) => {
      const { removeOrphansOffline, removeOrphansOnline } = await loadOrphans();
      const dryRun = options.dryRun ?? false;
      const orphans = options.dockerd
        ? await removeOrphansOnline(options.compose, { dryRun })
        : await removeOrphansOffline(options.compose, options.dockerRoot, { dryRun });
      const verb = dryRun ? 'would remove' : 'removing';
      const lines = orphans.map(({ id, service }) => {
        const shown = options.dockerd ? id : id.slice(0, SHORT_ID);
        return `${verb} orphaned container ${service} ${shown}`;
      });
      if (lines.length > 0 || options.json) ui.result({ dryRun, orphans }, { json: options.json, text: () => lines });
    });
}
