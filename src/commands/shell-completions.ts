/** Shell completions for bash, zsh and fish, from the same declarations as `--help`. */
import type { CliCommand, CliOption } from './cli-tree.ts';

/** Values that are a path: completed with file names. Everything else that takes a value is left to the person. */
const PATHS = /^(file|path|dir|folder|device|out|pem|socket)$/i;

const isPath = (option: CliOption): boolean => option.value !== undefined && PATHS.test(option.value);
const names = (options: readonly CliOption[]): string[] =>
  options.flatMap(({ short, long }) => [short, long].filter((name) => name !== undefined));

/** `path` -> what can follow it, for the program (''), each command and each command below it. */
function nodes(tree: readonly CliCommand[]): { path: string[]; command: CliCommand }[] {
  return tree.flatMap((command) =>
    [command.name, ...(command.alias === undefined ? [] : [command.alias])].flatMap((name) => [
      { path: [name], command },
      ...command.commands.map((sub) => ({ path: [name, sub.name], command: sub })),
    ]),
  );
}

/** For /usr/share/bash-completion/completions/dstack-util. Needs no bash-completion library. */
export function bashCompletion(tree: readonly CliCommand[]): string {
  const words = tree.flatMap(({ name, alias }) => (alias === undefined ? [name] : [name, alias]));
  const all = nodes(tree);
  const branch = ({ path, command }: { path: string[]; command: CliCommand }): string => {
    const reply = [...command.commands.map(({ name }) => name), ...names(command.options)];
    return `    ${quote(path.join(' '))}) words=${quote(reply.join(' '))} ;;`;
  };
  const values = all.flatMap(({ path, command }) =>
    command.options.flatMap((option) => {
      if (option.value === undefined) return [];
      const kind = option.choices.length > 0 ? option.choices.join(' ') : isPath(option) ? '<file>' : '<none>';
      return names([option]).map((name) => `    ${quote(`${path.join(' ')} ${name}`)}) value=${quote(kind)} ;;`);
    }),
  );
  return `# bash completion for dstack-util; generated, do not edit
_dstack_util() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} path='' words='' value='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${COMP_WORDS[i]}" in
      -*) break ;;
      *) path="\${path:+$path }\${COMP_WORDS[i]}" ;;
    esac
  done
  # only the words that name a command count, not the arguments behind them
  while [[ $path == *' '* ]]; do
    case "$path" in
      ${all
        .filter(({ path }) => path.length === 2)
        .map(({ path }) => quote(path.join(' ')))
        .join(' | ')}) break ;;
      *) path=\${path% *} ;;
    esac
  done
  case "$path $prev" in
${values.join('\n')}
  esac
  COMPREPLY=()
  case "$value" in
    '<none>') return ;;
    '<file>') mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    ?*) mapfile -t COMPREPLY < <(compgen -W "$value" -- "$cur"); return ;;
  esac
  case "$path" in
    '') words=${quote([...words, '--help', '--version'].join(' '))} ;;
${all.map(branch).join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
  # a word that is neither an option nor a command: an argument, most often a file
  if [[ \${#COMPREPLY[@]} -eq 0 && -n $path && $cur != -* ]]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$cur")
  fi
}
complete -o filenames -o bashdefault -F _dstack_util dstack-util
`;
}

/** For /usr/share/zsh/vendor-completions/_dstack-util. */
export function zshCompletion(tree: readonly CliCommand[]): string {
  const flag = (option: CliOption): string => {
    const description = option.description.replaceAll(/[[\]:\\]/g, (sign) => `\\${sign}`);
    const action =
      option.value === undefined
        ? ''
        : `:${option.value}:${option.choices.length > 0 ? `(${option.choices.join(' ')})` : isPath(option) ? '_files' : ' '}`;
    const all = names([option]);
    const group = all.length > 1 ? `'(${all.join(' ')})'{${all.join(',')}}` : `'${all[0] ?? ''}'`;
    return `${group}${quote(`[${description}]${action}`)}`;
  };
  const specs = (command: CliCommand): string =>
    [...command.options.map(flag), ...(command.args.length > 0 ? ["'*:argument:_files'"] : [])].join(' \\\n        ');
  const list = (commands: readonly CliCommand[]): string =>
    commands.map(({ name, summary }) => quote(`${name}:${summary}`)).join(' ');
  const branch = (command: CliCommand): string => {
    const pattern = [command.name, ...(command.alias === undefined ? [] : [command.alias])].join('|');
    if (command.commands.length === 0) return `    ${pattern})\n      _arguments \\\n        ${specs(command)} ;;`;
    const subs = command.commands
      .map(
        (sub) => `        ${sub.name})\n          shift words; (( CURRENT-- ))\n          _arguments ${specs(sub)} ;;`,
      )
      .join('\n');
    return `    ${pattern})
      if (( CURRENT == 2 )); then
        commands=(${list(command.commands)})
        _describe 'command' commands
        return
      fi
      case $words[2] in
${subs}
      esac ;;`;
  };
  return `#compdef dstack-util
# generated, do not edit
_dstack_util() {
  local -a commands
  if (( CURRENT == 2 )); then
    commands=(${list(tree)})
    _describe 'command' commands
    return
  fi
  shift words; (( CURRENT-- ))
  case $words[1] in
${tree.map(branch).join('\n')}
  esac
}
_dstack_util "$@"
`;
}

/** For /usr/share/fish/vendor_completions.d/dstack-util.fish. */
export function fishCompletion(tree: readonly CliCommand[]): string {
  const lines = ['# generated, do not edit', 'complete -c dstack-util -f'];
  const line = (condition: string, rest: string) =>
    lines.push(`complete -c dstack-util -n ${quote(condition)} ${rest}`);
  const option = (condition: string, it: CliOption): void => {
    const flags = [
      ...(it.short === undefined ? [] : [`-s ${it.short.slice(1)}`]),
      ...(it.long === undefined ? [] : [`-l ${it.long.slice(2)}`]),
      ...(it.value === undefined ? [] : [isPath(it) ? '-r -F' : '-x']),
      ...(it.choices.length === 0 ? [] : [`-a ${quote(it.choices.join(' '))}`]),
    ];
    line(condition, `${flags.join(' ')} -d ${quote(it.description)}`);
  };
  const top = '__fish_use_subcommand';
  for (const { name, summary } of tree) line(top, `-a ${name} -d ${quote(summary)}`);
  line(top, "-l help -s h -d 'print this help'");
  line(top, "-l version -s V -d 'print the version'");
  for (const command of tree) {
    const seen = [command.name, ...(command.alias === undefined ? [] : [command.alias])].join(' ');
    const here = `__fish_seen_subcommand_from ${seen}`;
    if (command.commands.length === 0) {
      for (const it of command.options) option(here, it);
      if (command.args.length > 0) line(here, '-F');
      continue;
    }
    const below = command.commands.map(({ name }) => name).join(' ');
    for (const sub of command.commands) {
      line(`${here}; and not __fish_seen_subcommand_from ${below}`, `-a ${sub.name} -d ${quote(sub.summary)}`);
      for (const it of sub.options) option(`${here}; and __fish_seen_subcommand_from ${sub.name}`, it);
    }
  }
  return `${lines.join('\n')}\n`;
}

/** One word of a shell: fish, zsh and bash agree on single quotes except for a quote inside them. */
const quote = (value: string): string => `'${value.replaceAll("'", `'"'"'`)}'`;
