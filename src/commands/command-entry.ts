/** What the list of subcommands knows of each: see table.ts. */
import type { Command } from 'commander';

export interface CommandEntry {
  readonly name: string;
  readonly alias?: string;
  /** one line for `dstack-util --help` */
  readonly summary: string;
  /** heading above it in `dstack-util --help` */
  readonly group: string;
  /** keys pass through its memory: the process leaves no memory image when it crashes */
  readonly secrets?: true;
  /** loads the module that declares arguments, options and the action; it may look at all commands */
  readonly load: () => Promise<{ default: (command: Command, all: readonly CommandEntry[]) => void }>;
}
