/** Manual pages in the man(7) macros of groff, one for the program and one a command. */
import { type CliCommand, type CliOption, noteParts } from '../src/commands/cli-tree.ts';
import { ERRORS } from '../src/errors.ts';

export interface ManOptions {
  readonly version: string;
  /** `YYYY-MM-DD` of the release: pages of one commit are byte-identical */
  readonly date: string;
}

/** All pages: file name -> text. `dstack-guest-agent(1)` is the page of `serve` under its other name. */
export function manPages(tree: readonly CliCommand[], options: ManOptions): Map<string, string> {
  const pages = new Map([['dstack-util.1', programPage(tree, options)]]);
  for (const command of tree) pages.set(`dstack-util-${command.name}.1`, commandPage(command, options));
  pages.set('dstack-guest-agent.1', '.so man1/dstack-util-serve.1\n');
  return pages;
}

function programPage(tree: readonly CliCommand[], options: ManOptions): string {
  return page([
    heading('dstack-util', options),
    '.SH NAME',
    'dstack-util \\- boots, measures and serves a confidential VM',
    '.SH SYNOPSIS',
    '.B dstack-util',
    '.I command',
    '.RI [ options ]',
    '.SH DESCRIPTION',
    text(
      'One program for the life of an Intel TDX virtual machine that runs a measured application: it prepares the system, ' +
        'measures the application into RTMR3, gets its keys, opens the encrypted data disk, starts the containers and ' +
        'serves keys and quotes to them. Results go to standard output, progress and errors to standard error.',
    ),
    '.SH COMMANDS',
    ...tree.flatMap(({ name, alias, summary }) => [
      '.TP',
      `.BR dstack-util-${name} (1)`,
      text(`${summary}${alias === undefined ? '' : ` (also: ${alias})`}`),
    ]),
    ...exitStatus(),
    ...environment(),
    '.SH FILES',
    ...[
      ['/dstack', 'work folder of the application: its documents and what was derived from them'],
      ['/run/dstack.sock, /run/tappd.sock', 'sockets of the guest agent'],
      ['/run/log/dstack', 'event log and timeline of this boot'],
    ].flatMap(([name = '', meaning = '']) => ['.TP', `.I ${text(name)}`, text(meaning)]),
    ...seeAlso(['docker (1)', 'cryptsetup (8)', 'systemd (1)']),
  ]);
}

function commandPage(command: CliCommand, options: ManOptions): string {
  const name = `dstack-util-${command.name}`;
  return page([
    heading(name, options),
    '.SH NAME',
    `${text(name)} \\- ${text(command.summary)}`,
    '.SH SYNOPSIS',
    ...(command.commands.length === 0
      ? synopsis(`dstack-util ${command.name}`, command)
      : command.commands.flatMap((sub, i) => [
          ...(i === 0 ? [] : ['.br']),
          ...synopsis(`dstack-util ${command.name} ${sub.name}`, sub),
        ])),
    ...(command.alias === undefined
      ? []
      : ['.SH DESCRIPTION', text(`dstack-util ${command.alias} is the same command.`)]),
    ...details(command, '.SH'),
    ...command.commands.flatMap((sub) => [
      `.SH ${text(sub.name.toUpperCase())}`,
      text(sentence(sub.summary)),
      ...details(sub, '.SS'),
      ...sub.commands.flatMap((lowest) => [
        `.SS ${text(`${sub.name} ${lowest.name}`.toUpperCase())}`,
        text(sentence(lowest.summary)),
        ...lowest.options.flatMap(option),
      ]),
    ]),
    ...exitStatus(ownExitStatus(command)),
    ...seeAlso(['dstack-util (1)']),
  ]);
}

function details(command: CliCommand, macro: string): string[] {
  const args = command.args.filter(({ description }) => description !== '');
  return [
    ...(args.length === 0 ? [] : [`${macro} ARGUMENTS`]),
    ...args.flatMap(({ name, description }) => ['.TP', `.I ${text(name)}`, text(description)]),
    ...(command.commands.length > 0 ? [] : [`${macro} OPTIONS`, ...command.options.flatMap(option)]),
    ...notes(command, macro),
  ];
}

/** What `--help` says behind the options; commands to type keep their lines. */
function notes(command: CliCommand, macro: string): string[] {
  const parts = noteParts(command.notes);
  if (parts.length === 0) return [];
  return [
    `${macro} NOTES`,
    ...parts.flatMap(({ verbatim, lines }) =>
      verbatim ? ['.PP', '.nf', ...lines.map(text), '.fi'] : ['.PP', text(lines.join(' '))],
    ),
  ];
}

/** The sentence of `--help` about the exit status, for a command that has its own. */
const ownExitStatus = ({ notes: all }: CliCommand): string | undefined => /^.*\bExit status.*$/m.exec(all)?.[0];

function option(it: CliOption): string[] {
  const notes = [
    ...(it.required ? ['required'] : []),
    ...(it.choices.length > 0 ? [`one of ${it.choices.join(', ')}`] : []),
    ...(it.fallback === undefined ? [] : [`default: ${it.fallback === '' ? 'empty' : it.fallback}`]),
  ];
  const note = notes.length === 0 ? '' : ` (${notes.join('; ')})`;
  return ['.TP', `.B ${text(it.flags)}`, text(`${it.description}${note}`)];
}

const synopsis = (name: string, { usage }: CliCommand): string[] => [`.B ${text(name)}`, text(usage)];

function exitStatus(own?: string): string[] {
  const codes =
    'Each failure prints one stable code with a hint; the list of codes is in errors.md of the documentation.';
  if (own !== undefined) return ['.SH EXIT STATUS', text(own.replace(/^.*?(?=Exit status)/, '')), '.PP', text(codes)];
  const meanings: Record<number, string> = {
    0: 'done',
    1: 'failed',
    2: 'wrong usage or input',
    3: 'misconfigured: a restart cannot help',
  };
  const statuses = Object.values(ERRORS).map(({ exit }) => exit);
  return [
    '.SH EXIT STATUS',
    ...Object.entries(meanings).flatMap(([status, meaning]) => {
      const count = statuses.filter((exit) => exit === Number(status)).length;
      return ['.TP', `.B ${status}`, text(count === 0 ? meaning : `${meaning} (${count} error codes)`)];
    }),
    '.PP',
    text(codes),
  ];
}

function environment(): string[] {
  return [
    '.SH ENVIRONMENT',
    ...[
      ['DSTACK_LOG, RUST_LOG', 'error, warn, info or debug'],
      ['NO_COLOR', 'no colours, also on a terminal'],
      ['DSTACK_HOST_SHARED_DIR', 'folder of the documents that the host handed over'],
    ].flatMap(([name = '', meaning = '']) => ['.TP', `.B ${name}`, text(meaning)]),
  ];
}

const seeAlso = (pages: readonly string[]): string[] => [
  '.SH SEE ALSO',
  ...pages.map((name, i) => `.BR ${text(name)}${i === pages.length - 1 ? '' : ' ,'}`),
];

const heading = (name: string, { version, date }: ManOptions): string =>
  `.TH ${name.toUpperCase()} 1 ${date} "dstack-util ${version}" "dstack-util"`;

const page = (lines: readonly string[]): string => `${lines.join('\n')}\n`;
const sentence = (line: string): string => (line.endsWith('.') ? line : `${line}.`);

/** Text that groff prints as it is: hyphens stay ASCII, a leading dot or quote is no request. */
export function text(value: string): string {
  const escaped = value
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/\s+/g, ' ')
    .trim()
    .replaceAll(
      /[^\x00-\x7f]/gu,
      (sign) => `\\[u${(sign.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}]`,
    );
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}
