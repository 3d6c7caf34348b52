/** Parses the command line, runs one command, turns its failure into one message and an exit status. */
import { Command, CommanderError } from 'commander';
import { DstackError, type ErrorDetails } from '../errors.ts';
import { statusOf } from '../stdout.ts';
import * as ui from '../ui.ts';
import { VERSION_TEXT } from '../version.ts';
import type { CommandEntry } from './command-entry.ts';
import { DESCRIPTION, EPILOGUE, HELP_OPTION, VERSION_OPTION } from './help.ts';
import { COMMANDS } from './table.ts';

/** Runs the program with the arguments behind its name and sets `process.exitCode`. */
export async function main(given: readonly string[]): Promise<void> {
  const args = asOptions(given);
  const entry = COMMANDS.find(({ name, alias }) => args[0] === name || (alias !== undefined && args[0] === alias));
  const program = await declare(entry);
  try {
    await ui.loadColours();
    if (entry?.secrets) await (await import('../sys/core-dumps.ts')).refuseCoreDumps();
    await program.parseAsync(args, { from: 'user' });
  } catch (thrown) {
    process.exitCode =
      thrown instanceof ui.StdoutFailed
        ? await statusOf(thrown.cause)
        : report(thrown, args.includes('--json'), called(program, args));
  }
}

/** `help`, `help COMMAND ...` and `version` are what people type where these are options. */
function asOptions(args: readonly string[]): readonly string[] {
  const [first, command] = args;
  if (first === 'help') {
    // `--help` behind a name that is not known would explain the program
    const known = command === undefined || COMMANDS.some(({ name, alias }) => command === name || command === alias);
    return [...args.slice(1), ...(known ? ['--help'] : [])];
  }
  return args.length === 1 && args[0] === 'version' ? ['--version'] : args;
}

/** The command that the arguments name: the lowest one, as in `fde volumes list`. */
function called(command: Command, [word, ...more]: readonly string[]): Command {
  const below = command.commands.find(
    (it) => word !== undefined && (it.name() === word || it.aliases().includes(word)),
  );
  return below === undefined ? command : called(below, more);
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
  for (const { name, alias, summary, group, load } of COMMANDS) {
    const command = program
      .command(name)
      .description(summary)
      .helpGroup(`${group}:`)
      .helpOption(...HELP_OPTION);
    if (alias !== undefined) command.alias(alias);
    if (name === entry?.name) (await load()).default(command, COMMANDS);
  }
  return program;
}

function report(thrown: unknown, json: boolean, command: Command): number {
  const usage = (message: string, details: ErrorDetails = {}) =>
    ui.reportFailure(new DstackError('USAGE', message, { hint: `see ${pathOf(command)} --help`, ...details }), {
      json,
    });
  if (thrown instanceof CommanderError) {
    if (thrown.exitCode === 0) return 0; // --help and --version
    // nothing was given: commander has prepared the help text as an error
    if (thrown.code === 'commander.help') {
      const names = command.commands.map((it) => it.name());
      return usage(command.parent === null ? 'the command is missing' : `one of ${names.join(', ')} is missing`);
    }
    const [message = '', suggestion = ''] = thrown.message.replace(/^error: /, '').split('\n');
    return usage(`${message}${suggestion === '' ? '' : ` ${suggestion}`}`);
  }
  if (thrown instanceof DstackError && thrown.code === 'USAGE')
    return usage(thrown.message, { field: thrown.field, value: thrown.value, path: thrown.path });
  return ui.reportFailure(thrown, { json });
}

const pathOf = (command: Command): string =>
  command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
