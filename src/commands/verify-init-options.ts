/** The options of `verify init`, apart from what it does, which is loaded when it runs. */
import type { Command } from 'commander';
import { ACCEPTABLE_STATUSES } from '../config/tcb-status.ts';
import { collect } from './collect.ts';
import { offering } from './offered-values.ts';

/** The options of `verify init` beside those of a prediction. */
export function initOptions(command: Command): Command {
  return command
    .option('--root-ca <pem>', 'root certificate that quotes must lead to (default: Intel’s)')
    .addOption(
      offering('--allow-tcb <status>', 'accept this TCB status besides UpToDate; may be repeated', ACCEPTABLE_STATUSES)
        .argParser(collect)
        .default([]),
    )
    .option('--no-fresh', 'judge without report data of the asker as well')
    .option('--out <file>', 'write it there (default: standard output)')
    .addHelpText(
      'after',
      `
With an image, its measurement document goes into the file, so that it fits VMs of any shape; with --memory or --vm-config the
registers of that one shape do. A file named init is verified as ./init.

Example:
  dstack-util verify init app-compose.json --image DIR --out expect.json`,
    );
}
