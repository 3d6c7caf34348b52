/**
 * The option parser and the error printer of every npm script. A script declares its options and its action and hands
 * both over:
 *
 *     await runScript(
 *       npmScript('build', 'compile the binaries').option('--frob <text>', 'what it means').action((flags: Flags) => build(flags)),
 *     );
 *
 * `--help` ends with 0, wrong options with 2 before anything is done, any other failure with 1: one line `error: ...`, what the
 * failure says besides, and a hint. A stack trace is only shown for a defect of the script itself.
 */
import { Command, CommanderError, Help, InvalidArgumentError, type Option } from 'commander';
import { DstackError, errorCauses } from '../../src/errors.ts';
import { fullDisk } from './space.ts';

/** Options that go together wrongly: exit status 2 and a pointer to --help, as for an option that does not exist. */
export class WrongOptions extends Error {}

/** npm has words of its own for these two; the others are `npm run NAME`. */
const SHORT = ['start', 'test'];

/** The command line of a person: `npm run build`, `npm start`. */
export const npmCommand = (name: string): string => (SHORT.includes(name) ? `npm ${name}` : `npm run ${name}`);

/** A script without options yet. @param name as in package.json */
export function npmScript(name: string, summary: string): Command {
  return new Command(`${npmCommand(name)} --`)
    .description(summary)
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .configureHelp({ optionDescription: withoutOff });
}

/** That a switch is off without it goes without saying. */
const withoutOff = (option: Option): string =>
  new Help().optionDescription(option).replace(/ \(default: (false|\[\])\)$/, '');

/** Parses the command line, runs the action and sets the exit status of the process. */
export async function runScript(
  command: Command,
  options: { argv?: readonly string[]; onFailure?: () => void } = {},
): Promise<void> {
  // an error is printed once, here
  for (const it of [command, ...command.commands]) it.configureOutput({ writeErr: () => {} }).exitOverride();
  try {
    await command.parseAsync(options.argv ?? process.argv.slice(2), { from: 'user' });
  } catch (thrown) {
    const failure = describe(thrown, command.name());
    if (failure.status !== 0) {
      options.onFailure?.();
      process.stderr.write(await paintError(failure.text));
    }
    process.exitCode = failure.status;
  }
}

/** A parser of whole numbers for `option()`. */
export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(
      most === Number.MAX_SAFE_INTEGER
        ? `It must be a whole number from ${least}.`
        : `It must be a whole number from ${least} to ${most}.`,
    );
  };
}

/** What a failure prints, and its exit status; status 0 is `--help`, which has been printed. */
export function describe(thrown: unknown, command: string): { text: string; status: number } {
  const usage = (message: string) => ({ text: `error: ${message}\n  hint: see ${command} --help\n`, status: 2 });
  if (thrown instanceof CommanderError) {
    if (thrown.exitCode === 0) return { text: '', status: 0 };
    if (thrown.code === 'commander.help') return usage('a name is missing');
    return usage(thrown.message.replace(/^error: /, '').replace(/\n(?=\(Did you mean)/, ' '));
  }
  if (thrown instanceof WrongOptions) return usage(thrown.message);
  if (!(thrown instanceof Error)) return { text: `error: ${String(thrown)}\n`, status: 1 };
  const full = fullDisk(thrown);
  if (full !== undefined) return { text: `error: ${full}\n`, status: 1 };
  if (thrown instanceof DstackError) {
    const [head, ...causes] = errorCauses(thrown);
    const where = thrown.path === undefined ? [] : [`  file: ${thrown.path}`];
    const lines = [`error: ${head}`, ...causes.map((cause) => `  caused by: ${cause}`), ...where];
    return { text: `${lines.join('\n')}\n  hint: ${thrown.hint}\n`, status: 1 };
  }
  // zx keeps the call and its place in the message; what the program said is enough
  if ('stderr' in thrown && 'exitCode' in thrown) {
    const { stderr, exitCode, cmd } = thrown as unknown as { stderr: string; exitCode: number | null; cmd?: string };
    const said = stderr.trim().split('\n').slice(-12);
    const program = (cmd ?? 'a program').split('\n')[0]?.trim().slice(0, 200);
    return { text: `error: ${program}: exit status ${exitCode}\n${said.map((it) => `  ${it}\n`).join('')}`, status: 1 };
  }
  const defect = [TypeError, RangeError, ReferenceError, SyntaxError].some((kind) => thrown instanceof kind);
  return { text: `error: ${defect ? thrown.stack : thrown.message}\n`, status: 1 };
}

async function paintError(text: string): Promise<string> {
  if (!process.stderr.isTTY) return text;
  const { chalkStderr } = await import('chalk');
  return text.replace(/^error:/, chalkStderr.red('error:'));
}
