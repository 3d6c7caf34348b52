/** Parses the command line, runs one command, turns its failure into one message and an exit status. */
import { Command, CommanderError } from 'commander';
import { DstackError } from '../errors.ts';
import * as ui from '../ui.ts';
import { VERSION_TEXT } from '../version.ts';
import { COMMANDS, type CommandEntry } from './table.ts';

const EPILOGUE = `
Results go to stdout, progress and errors to stderr. Exit status: 0 done, 1 failed, 2 wrong usage or input, 3 misconfigured,
or (verify) not checkable.
Environment: DSTACK_LOG or RUST_LOG = error|warn|info|debug, NO_COLOR, DSTACK_HOST_SHARED_DIR.`;

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
async function declare(entry: CommandEntry | undefined): Promise<Command> {
  const program = new Command('dstack-util')
    .description('boots, measures and serves a confidential VM')
    .version(VERSION_TEXT, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .addHelpText('after', EPILOGUE)
    .configureOutput({ writeErr: () => {} }) // usage errors are printed once, by `report`
    .exitOverride();
  for (const { name, alias, summary, load } of COMMANDS) {
    const command = program.command(name).description(summary).helpOption('-h, --help', 'print this help');
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
      return ui.fail(new DstackError('USAGE', 'a subcommand is missing'), { json });
    }
    return ui.fail(new DstackError('USAGE', thrown.message.replace(/^error: /, '')), { json });
  }
  return ui.fail(thrown, { json });
}
