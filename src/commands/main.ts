/** Parses the command line, runs one command, turns its failure into one message and an exit status. */
import { Command, CommanderError } from 'commander';
import { DstackError } from '../errors.ts';
import * as ui from '../ui.ts';
import { VERSION_TEXT } from '../version.ts';
import { DESCRIPTION, EPILOGUE, HELP_OPTION, VERSION_OPTION } from './help.ts';
import { COMMANDS, type CommandEntry } from './table.ts';

/** Runs the program with the arguments behind its name and sets `process.exitCode`. */
export async function main(args: readonly string[]): Promise<void> {
  const entry = COMMANDS.find(({ name, alias }) => args[0] === name || (alias !== undefined && args[0] === alias));
  const program = await declare(entry);
  try {
    if (entry?.secrets) await (await import('../sys/core-dumps.ts')).refuseCoreDumps();
    await program.parseAsync(args, { from: 'user' });
  } catch (thrown) {
    process.exitCode = report(thrown, args.includes('--json'));
  }
}

/** Declares the whole tree for `--help`, but loads only the module of `entry`. */
export async function declare(entry: CommandEntry | undefined): Promise<Command> {
  const program = new Command('dstack-util')
    .description(DESCRIPTION)
    .version(VERSION_TEXT, ...VERSION_OPTION)
    .helpOption(...HELP_OPTION)
    .helpCommand(false)
    .addHelpText('after', EPILOGUE)
    .configureOutput({ writeErr: () => {} }) // usage errors are printed once, by `report`
    .exitOverride();
  for (const { name, alias, summary, load } of COMMANDS) {
    const command = program
      .command(name)
      .description(summary)
      .helpOption(...HELP_OPTION);
    if (alias !== undefined) command.alias(alias);
    if (name === entry?.name) (await load()).default(command);
  }
  return program;
}

function report(thrown: unknown, json: boolean): number {
  if (thrown instanceof CommanderError) {
    if (thrown.exitCode === 0) return 0; // --help and --version
    if (thrown.code === 'commander.help') {
      // no subcommand was given: commander has prepared the help text as an error
      return ui.reportFailure(new DstackError('USAGE', 'a subcommand is missing'), { json });
    }
    return ui.reportFailure(new DstackError('USAGE', thrown.message.replace(/^error: /, '')), { json });
  }
  return ui.reportFailure(thrown, { json });
}
