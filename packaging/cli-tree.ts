/** The command line as plain data, read from the declarations: what man pages and completions are made from. */
import { Command, type Option } from 'commander';
import { COMMANDS } from '../src/commands/table.ts';

export interface CliOption {
  /** as declared, for example `-c, --config <file>` */
  readonly flags: string;
  readonly short?: string;
  readonly long?: string;
  /** name of the value, for example `file`; absent for a switch */
  readonly value?: string;
  readonly choices: readonly string[];
  readonly description: string;
  readonly required: boolean;
  /** the default as a person reads it */
  readonly fallback?: string;
}

export interface CliCommand {
  readonly name: string;
  readonly alias?: string;
  readonly summary: string;
  /** options and arguments as on a usage line */
  readonly usage: string;
  readonly args: readonly { readonly name: string; readonly description: string; readonly required: boolean }[];
  readonly options: readonly CliOption[];
  readonly commands: readonly CliCommand[];
}

/** Every command with its options, in the order of `--help`. Loads all command modules. */
export async function cliTree(): Promise<CliCommand[]> {
  const tree: CliCommand[] = [];
  for (const { name, alias, summary, load } of COMMANDS) {
    const command = new Command(name).description(summary).helpOption('-h, --help', 'print this help');
    if (alias !== undefined) command.alias(alias);
    (await load()).default(command);
    tree.push(describe(command));
  }
  return tree;
}

function describe(command: Command): CliCommand {
  const alias = command.alias();
  return {
    name: command.name(),
    ...(alias === undefined ? {} : { alias }),
    summary: command.description(),
    usage: command.usage(),
    args: command.registeredArguments.map((argument) => ({
      name: argument.name(),
      description: argument.description,
      required: argument.required,
    })),
    options: [...command.options.filter(({ hidden }) => !hidden).map(describeOption), HELP],
    commands: command.commands.map(describe),
  };
}

const HELP: CliOption = {
  flags: '-h, --help',
  short: '-h',
  long: '--help',
  choices: [],
  description: 'print this help',
  required: false,
};

function describeOption(option: Option): CliOption {
  const value = /[<[]([^>\]]+?)(\.\.\.)?[>\]]/.exec(option.flags)?.[1];
  return {
    flags: option.flags,
    ...(option.short === undefined ? {} : { short: option.short }),
    ...(option.long === undefined ? {} : { long: option.long }),
    ...(value === undefined ? {} : { value }),
    choices: option.argChoices ?? [],
    description: option.description,
    required: option.mandatory,
    ...(option.defaultValue === undefined
      ? {}
      : { fallback: option.defaultValueDescription ?? String(option.defaultValue) }),
  };
}
