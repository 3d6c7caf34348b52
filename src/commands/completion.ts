/** `dstack-util completion SHELL`: the script that makes a shell complete commands, options and their values. */
import { Argument, type Command } from 'commander';
import * as ui from '../ui.ts';
import type { CommandEntry } from './command-entry.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

export default function define(command: Command, all: readonly CommandEntry[]): void {
  command
    .addArgument(new Argument('<shell>', 'whose script').choices(SHELLS))
    .addHelpText(
      'after',
      '\nFor this shell only:\n' +
        '  bash: source <(dstack-util completion bash)\n' +
        '  zsh:  source <(dstack-util completion zsh)     (behind compinit)\n' +
        '  fish: dstack-util completion fish | source\n' +
        'The archive installs them for everybody.',
    )
    .action(async (shell: Shell) => {
      const [{ cliTree }, scripts] = await Promise.all([import('./cli-tree.ts'), import('./shell-completions.ts')]);
      const write = { bash: scripts.bashCompletion, zsh: scripts.zshCompletion, fish: scripts.fishCompletion };
      await ui.output(write[shell](await cliTree(all)));
    });
}
