/** `serve`: the guest agent, also started under the name dstack-guest-agent. */
import type { Command } from 'commander';

export default function define(command: Command): void {
  command
    .option('-c, --config <file>', 'configuration file, read last and so the strongest (.toml, or JSON)')
    .option('-w, --watchdog', 'notify the watchdog of the service manager (WATCHDOG_USEC)')
    .option('--docker-socket <path>', 'where to ask docker about containers (default: DOCKER_HOST, or its own socket)')
    .action(async (options: { config?: string; watchdog?: boolean; dockerSocket?: string }) => {
      // the one place where every reader of docker looks; children get an environment of their own
      if (options.dockerSocket !== undefined) process.env['DOCKER_HOST'] = `unix://${options.dockerSocket}`;
      const { loadServe } = await import('../agent/agent.ts');
      const { serve } = await loadServe();
      await serve({ configFile: options.config, watchdog: options.watchdog ?? false });
    });
}
