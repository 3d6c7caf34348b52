/** `serve`: the guest agent, also started under the name dstack-guest-agent. */
import type { Command } from 'commander';

export default function define(command: Command): void {
  command
    .option('-c, --config <file>', 'configuration file, the last of the layers (.toml, or JSON)')
    .option('-w, --watchdog', 'send signs of life to the service manager (WATCHDOG_USEC)')
    .action(async (options: { config?: string; watchdog?: boolean }) => {
      const { serve } = await import('../agent/agent.ts');
      await serve({ configFile: options.config, watchdog: options.watchdog ?? false });
    });
}
