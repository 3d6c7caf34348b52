/** `notify-host`: one event for the host, for example from a script of the app. */
import type { Command } from 'commander';
import { realTdxMachine } from '../tdx/tdx-machine.ts';

interface Options {
  readonly url?: string;
  readonly event: string;
  readonly payload: string;
}

export default function define(command: Command): void {
  command
    .option('-u, --url <url>', 'host API address (default: host_api_url of .sys-config.json)')
    .requiredOption('-e, --event <name>', 'event, for example boot.progress')
    .requiredOption('-d, --payload <text>', 'payload, at most 4096 bytes')
    .addHelpText('after', '\nFails when the host is not told; without a host to tell there is nothing to do.')
    .action(async (options: Options) => {
      const { notifyHost } = await import('../net/net.ts');
      const { detectPlatform } = await import('../tdx/platform.ts');
      const url = options.url ?? (await configuredUrl());
      await notifyHost(url, options.event, options.payload, { platform: detectPlatform(realTdxMachine) });
    });
}

async function configuredUrl(): Promise<string | undefined> {
  const { hostShared } = await import('../config/paths.ts');
  const { parseSysConfig } = await import('../config/sys-config.ts');
  const { readLimited } = await import('../sys/files.ts');
  const path = hostShared('sysConfig');
  return parseSysConfig(await readLimited(path, 32 * 1024), path).hostApiUrl;
}
