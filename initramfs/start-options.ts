/** The options of `npm start`. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { npmScript } from '../scripts/lib/script.ts';
import { parsePorts } from './vm/ports.ts';
import type { Forward } from './vm/qemu.ts';

export interface StartOptions {
  /** check, print, power off */
  readonly once: boolean;
  /** stay although there is no terminal */
  readonly keep: boolean;
  readonly appCompose?: string;
  readonly compose?: string;
  /** of the folder with its disks, so that several can run */
  readonly name?: string;
  readonly storage: 'ext4' | 'zfs';
  /** key provider of the demo app */
  readonly provider: 'none' | 'kms';
  /** reach the demo app through a development gateway and its VPN */
  readonly gateway: boolean;
  /** MiB */
  readonly memory: number;
  readonly ports: readonly Forward[];
  readonly mirror?: string;
  readonly json: boolean;
  readonly verbose: boolean;
}

function name(text: string): string {
  if (/^[a-z0-9][a-z0-9-]{0,31}$/.test(text)) return text;
  throw new InvalidArgumentError('It must have 1 to 32 of the signs a-z, 0-9 and -.');
}

function memory(text: string): number {
  const match = /^(\d+)([MG]?)$/i.exec(text);
  const mib = Number(match?.[1]) * (match?.[2]?.toUpperCase() === 'G' ? 1024 : 1);
  if (!match || mib < 1024 || mib > 65_536) throw new InvalidArgumentError('1024 to 65536 MiB, such as 2048 or 2G');
  return mib;
}

function ports(text: string): Forward[] {
  try {
    return parsePorts(text);
  } catch (thrown) {
    throw new InvalidArgumentError((thrown as Error).message);
  }
}

/** Declares the command; `run` gets the checked options. */
export function startCommand(run: (options: StartOptions) => Promise<void>): Command {
  return npmScript('start', 'boot a confidential VM with the demo app, or with your own, and show that it works')
    .option('--once', 'check, print the summary, power off; exit status 0 only if everything answered', false)
    .option('--keep', 'stay until SIGINT or SIGTERM even without a terminal', false)
    .option('--app-compose <file>', 'boot this app-compose.json instead of the demo; opens the network for registries')
    .option(
      '--compose <file>',
      'boot this docker compose file instead of the demo, as `dstack-util app init` makes an app of it',
    )
    .option('--name <name>', 'name of the VM: one with another name has its own disks and runs beside', name)
    .addOption(new Option('--storage <fs>', 'file system of the data disk').choices(['ext4', 'zfs']).default('ext4'))
    .addOption(
      new Option(
        '--provider <kind>',
        'who gives the demo app, or that of --compose, its keys; with kms a development KMS runs beside the VM',
      )
        .choices(['none', 'kms'])
        .default('none'),
    )
    .option(
      '--gateway',
      'reach the demo app through a development gateway (needs --provider kms); opens the network',
      false,
    )
    .option('--memory <size>', 'memory of the VM in MiB, or with G', memory, 2048)
    .option('--ports <list>', 'GUEST:HOST pairs, such as 8090:18090,8080:18080', ports, [])
    .option('--mirror <url>', "base address of a Debian archive (default: what this host's apt uses)")
    .option('--json', 'print the summary as JSON', false)
    .option('--verbose', 'show every phase, also the short ones', false)
    .addHelpText(
      'after',
      '\nThe VM keeps its files in .cache/vm; with --provider kms its data disk opens\nagain the next time. Ctrl-C powers it off, a second Ctrl-C ends it at once.',
    )
    .action((options: StartOptions) => run(options));
}
