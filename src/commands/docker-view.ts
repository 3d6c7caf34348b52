/** `docker-view`: the guest agent's read-only view of docker, started by its socket unit. */
import type { Command } from 'commander';
import { PATHS } from '../config/paths.ts';
import { seconds } from './seconds.ts';

export default function define(command: Command): void {
  command
    .option('--docker-socket <path>', 'socket of dockerd', PATHS.dockerSocket)
    .option('--idle <seconds>', 'exit after this many seconds without a request', '60')
    .addHelpText(
      'after',
      '\nIt lists containers, tells their state and figures, and reads their logs; every other request gets status 403.\n' +
        'Environment, arguments, mounts and labels of containers are left out. Only a socket unit can start it.',
    )
    .action(async (options: { dockerSocket: string; idle: string }) => {
      const { loadDockerView } = await import('../agent/agent.ts');
      const { serveDockerView } = await loadDockerView();
      await serveDockerView({
        dockerSocket: options.dockerSocket,
        idleMs: 1000 * seconds('--idle', options.idle),
      });
    });
}
