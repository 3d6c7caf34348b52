import type { Command } from 'commander';

/** `prepare`: the machine before anything of the app is read. */
export default function define(command: Command): void {
  command
    .option('--plan', 'print the phases and do nothing')
    .option('--dry-run', 'print each program call and file write, change nothing')
    .action(async (options: { plan?: boolean; dryRun?: boolean }) => {
      if (options.plan) {
        const { PREPARE } = await import('../boot/sequence.ts');
        const { planText } = await import('../boot/runner.ts');
        process.stdout.write(`${planText('prepare', PREPARE)}\n`);
        return;
      }
      if (options.dryRun) (await import('../sys/effects.ts')).startDryRun((line) => process.stdout.write(`${line}\n`));
      const { prepare, thisMachine } = await import('../boot/run.ts');
      await prepare(thisMachine());
    });
}
