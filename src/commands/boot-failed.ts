/** `boot-failed`: what a unit starts when `prepare` or `setup` has failed. */
import type { Command } from 'commander';
import { loadAfterFailure, loadPrepared } from '../boot/boot.ts';
import { PATHS } from '../config/paths.ts';
import { errorChain } from '../errors.ts';
import * as ui from '../ui.ts';
import { dryRun } from './dry-run.ts';

interface Options {
  readonly device?: string;
  readonly file: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

async function decideAndAct(options: Options): Promise<void> {
  if (options.dryRun) await dryRun(options);
  const { decideRestart, farewell, lastFailure } = await loadAfterFailure();
  const { readTimelineFile } = await import('../config/timeline-file.ts');
  const { realDiskMachine, writeRestarts } = await import('../fde/fde.ts');
  const { endMachine } = await import('../sys/service-manager.ts');
  const failure = lastFailure(await readTimelineFile(options.file));
  const device = await dataDevice(options);
  const decision = decideRestart(failure, await counted(device));
  ui.result(
    { ...decision, ...failure, device: device ?? null },
    { json: options.json, text: () => farewell(failure, decision) },
  );
  if (decision.action === 'restart' && device !== undefined)
    await writeRestarts(device, decision.restart, realDiskMachine);
  await endMachine(decision.action === 'restart' ? 'reboot' : 'halt');
}

/** A disk that cannot be asked cannot count either; that must not hide what really failed. */
async function counted(device: string | undefined): Promise<number | undefined> {
  if (device === undefined) return undefined;
  const { readRestarts, realDiskMachine } = await import('../fde/fde.ts');
  return readRestarts(device, realDiskMachine).catch((thrown) => {
    ui.warn(`restarts cannot be counted: ${errorChain(thrown)}`);
    return undefined;
  });
}

async function dataDevice({ device }: Options): Promise<string | undefined> {
  if (device !== undefined) return device;
  const { readPrepared } = await loadPrepared();
  return (await readPrepared(PATHS.prepared).catch(() => undefined))?.device;
}

export default function define(command: Command): void {
  command
    .option('--device <device>', 'data device (default: what `prepare` chose)')
    .option('--file <path>', 'timeline with the failure', PATHS.bootTimeline)
    .option('--dry-run', 'print the decision, write and start nothing')
    .option('--json', 'print the decision as JSON')
    .addHelpText(
      'after',
      '\nRestarts the machine, at most three times in a row, if that may repair the failure. Otherwise halts it, with the\n' +
        'reason on the console. The restarts are counted in front of the data partition and forgotten after a good boot.',
    )
    .action(decideAndAct);
}
