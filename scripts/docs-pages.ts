/** The generated documentation as text: from the error table and from the declarations of the commands. */
import { Command, type Option } from 'commander';
import { openapiDocument } from '../src/agent/openapi/openapi.ts';
import { COMMANDS } from '../src/commands/table.ts';
import { ERRORS } from '../src/errors.ts';

/** docs/errors.md: every code with exit status, whether a retry can help, and the hint. */
export function errorsPage(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, { exit, retry, hint }]) =>
      `| <a id="${code.toLowerCase()}"></a>\`${code}\` | ${exit} | ${retry ? 'yes' : 'no'} | ${cell(hint)} |`,
  );
  return [
    '# Errors',
    '',
    'Generated from `src/errors.ts`; do not edit. The same code appears in the message on stderr, in `--json`, in RPC error texts and in the journal.',
    'Exit status: 0 done, 1 failed, 2 wrong usage or input, 3 misconfigured (a restart cannot help).',
    '',
    '| code | exit | retry helps | what to do |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

/** docs/openapi.json: the interface of the guest agent. The agent serves the same document with its version. */
export const openapiText = (): string => `${JSON.stringify(openapiDocument(), null, 2)}\n`;

/** One page a command: file name -> text. */
export async function commandPages(): Promise<Map<string, string>> {
  const pages = new Map<string, string>();
  const index: string[] = [
    '# Commands',
    '',
    'Generated from the command declarations; do not edit.',
    '',
    '| command | what it does |',
    '|---|---|',
  ];
  for (const { name, alias, summary, load } of COMMANDS) {
    const command = new Command(`dstack-util ${name}`).description(summary).helpOption('-h, --help', 'print this help');
    if (alias !== undefined) command.alias(alias);
    (await load()).default(command);
    pages.set(`${name}.md`, commandPage(command, alias));
    index.push(`| [\`${name}\`](${name}.md)${alias === undefined ? '' : ` (alias \`${alias}\`)`} | ${cell(summary)} |`);
  }
  pages.set('README.md', `${index.join('\n')}\n`);
  return pages;
}

function commandPage(command: Command, alias: string | undefined): string {
  const lines = [
    `# ${command.name()}`,
    '',
    `Generated from the command declaration; do not edit.`,
    '',
    sentence(command.description()),
  ];
  if (alias !== undefined) lines.push('', `Alias: \`${alias}\`.`);
  lines.push(...usage(command, command.name()));
  for (const sub of command.commands) {
    lines.push('', `## ${command.name()} ${sub.name()}`, '', sentence(sub.description()));
    lines.push(...usage(sub, `${command.name()} ${sub.name()}`));
  }
  return `${lines.join('\n')}\n`;
}

function usage(command: Command, name: string): string[] {
  const lines = ['', '```', `${name} ${command.usage()}`, '```'];
  const args = command.registeredArguments.filter((argument) => argument.description !== '');
  if (args.length > 0) {
    lines.push('', '| argument | meaning |', '|---|---|');
    for (const argument of args) lines.push(`| \`${argument.name()}\` | ${cell(argument.description)} |`);
  }
  if (command.options.length > 0) {
    lines.push('', '| option | meaning |', '|---|---|');
    for (const option of command.options)
      lines.push(`| \`${option.flags.replaceAll('|', '\\|')}\` | ${cell(meaning(option))} |`);
  }
  return lines;
}

const meaning = (option: Option): string => {
  const notes = [
    ...(option.mandatory ? ['required'] : []),
    ...(option.argChoices ? [`one of ${option.argChoices.join(', ')}`] : []),
    ...(option.defaultValue === undefined
      ? []
      : [`default ${option.defaultValueDescription ?? JSON.stringify(option.defaultValue)}`]),
  ];
  return `${option.description}${notes.length === 0 ? '' : ` (${notes.join('; ')})`}`;
};

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const sentence = (text: string): string => (text.endsWith('.') ? text : `${text}.`);
