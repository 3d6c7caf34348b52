/**
 * The command line as plain data, read from the declarations: what manual pages, docs/commands and completions are made
 * from.
 */
import { Command, type Option } from 'commander';
import type { CommandEntry } from './command-entry.ts';

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
  /** what `--help` says behind the options: meaning, exit status, examples; empty if nothing */
  readonly notes: string;
  readonly commands: readonly CliCommand[];
}

/** Every command with its options, in the order of `--help`. Loads all command modules. */
export async function cliTree(commands: readonly CommandEntry[]): Promise<CliCommand[]> {
  const tree: CliCommand[] = [];
  for (const { name, alias, summary, load } of commands) {
    const command = new Command(name).description(summary).helpOption('-h, --help', 'print this help');
    if (alias !== undefined) command.alias(alias);
    (await load()).default(command, commands);
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
    notes: notesOf(command),
    commands: command.commands.map(describe),
  };
}

/** commander keeps these texts to itself, so the help is printed and what it begins with is taken away. */
function notesOf(command: Command): string {
  let all = '';
  command.configureOutput({
    writeOut: (text) => {
      all += text;
    },
  });
  command.outputHelp();
  return all.slice(command.helpInformation().length).trim();
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

/** A piece of `notes`: sentences that may be wrapped, or lines that stay as they are, such as a command to type. */
export interface NotePart {
  readonly verbatim: boolean;
  readonly lines: readonly string[];
}

/** Indented lines of the notes stay as they are; the others are sentences. */
export function noteParts(notes: string): NotePart[] {
  const parts: { verbatim: boolean; lines: string[] }[] = [];
  for (const line of notes.split('\n').filter((text) => text.trim() !== '')) {
    const verbatim = line.startsWith(' ');
    const last = parts.at(-1);
    if (last?.verbatim === verbatim) last.lines.push(line.trim());
    else parts.push({ verbatim, lines: [line.trim()] });
  }
  return parts;
}
