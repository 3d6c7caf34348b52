/** The generated documentation as text: from the error table and from the declarations of the commands. */
import { openapiDocument } from '../src/agent/openapi/openapi.ts';
import { type CliCommand, type CliOption, cliTree, noteParts } from '../src/commands/cli-tree.ts';
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
  for (const command of await cliTree(COMMANDS)) {
    const { name, alias, summary } = command;
    pages.set(`${name}.md`, commandPage(command));
    index.push(`| [\`${name}\`](${name}.md)${alias === undefined ? '' : ` (alias \`${alias}\`)`} | ${cell(summary)} |`);
  }
  pages.set('README.md', `${index.join('\n')}\n`);
  return pages;
}

function commandPage(command: CliCommand): string {
  const name = `dstack-util ${command.name}`;
  const lines = [
    `# ${name}`,
    '',
    `Generated from the command declaration; do not edit.`,
    '',
    sentence(command.summary),
  ];
  if (command.alias !== undefined) lines.push('', `Alias: \`${command.alias}\`.`);
  lines.push(...usage(command, name));
  for (const sub of command.commands) {
    lines.push('', `## ${name} ${sub.name}`, '', sentence(sub.summary), ...usage(sub, `${name} ${sub.name}`));
    for (const lowest of sub.commands) {
      const full = `${name} ${sub.name} ${lowest.name}`;
      lines.push('', `### ${full}`, '', sentence(lowest.summary), ...usage(lowest, full));
    }
  }
  return `${lines.join('\n')}\n`;
}

function usage({ usage: line, args, options, notes }: CliCommand, name: string): string[] {
  const lines = ['', '```', `${name} ${line}`, '```'];
  const named = args.filter(({ description }) => description !== '');
  if (named.length > 0) {
    lines.push('', '| argument | meaning |', '|---|---|');
    for (const argument of named) lines.push(`| \`${argument.name}\` | ${cell(argument.description)} |`);
  }
  const own = options.filter(({ long }) => long !== '--help');
  if (own.length > 0) {
    lines.push('', '| option | meaning |', '|---|---|');
    for (const option of own) lines.push(`| \`${option.flags.replaceAll('|', '\\|')}\` | ${cell(meaning(option))} |`);
  }
  for (const { verbatim, lines: part } of noteParts(notes))
    lines.push('', ...(verbatim ? ['```', ...part, '```'] : [part.join('\n')]));
  return lines;
}

const meaning = ({ required, choices, fallback, description }: CliOption): string => {
  const notes = [
    ...(required ? ['required'] : []),
    ...(choices.length > 0 ? [`one of ${choices.join(', ')}`] : []),
    ...(fallback === undefined ? [] : [`default ${fallback}`]),
  ];
  return `${description}${notes.length === 0 ? '' : ` (${notes.join('; ')})`}`;
};

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const sentence = (text: string): string => (text.endsWith('.') ? text : `${text}.`);
