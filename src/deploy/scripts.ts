/**
 * Scripts of the app (dstack boot order, app start). They run in bash, in the work directory, with their output in our
 * log. The pre-launch script is sourced: what it exports reaches the containers.
 */
import { DstackError } from '../errors.ts';
import { runAttached } from '../sys/attached.ts';
import { isDryRun } from '../sys/effects.ts';

export type Environment = ReadonlyMap<string, string>;

export interface ScriptOptions {
  readonly cwd: string;
  readonly env: Environment;
}

/** Variables of the shell itself: they are not meant for anybody else. */
const SHELL_OWN = new Set(['_', 'SHLVL', 'PWD', 'OLDPWD', 'BASHOPTS', 'SHELLOPTS']);

/**
 * Sources a script under `set -e`, then writes the environment to descriptor 3. While the script runs, that descriptor is
 * closed for it and its children.
 */
const SOURCE_AND_TELL = 'set -e; { source <(cat); } 3>&-; exec /usr/bin/env -0 >&3';

/**
 * Sources a script and answers what it exported.
 * @returns the environment behind the script; undefined when the script itself ended the shell with `exit 0`, which in
 * the reference ends the start without containers
 * @throws SCRIPT_FAILED with the exit status
 */
export async function sourceScript(
  name: string,
  text: string,
  options: ScriptOptions,
): Promise<Environment | undefined> {
  const { exit, captured } = await runAttached('bash', ['--noprofile', '--norc', '-c', SOURCE_AND_TELL], {
    stdin: text,
    cwd: options.cwd,
    env: Object.fromEntries(options.env),
  });
  if (exit !== 0) throw scriptFailed(name, exit);
  if (isDryRun()) return options.env; // what it would export is not known
  return captured.length === 0 ? undefined : parseEnvironment(captured);
}

/** Pipes a script into a bash of its own. @throws SCRIPT_FAILED with the exit status */
export async function runScript(name: string, text: string, options: ScriptOptions): Promise<void> {
  const { exit } = await runAttached('bash', ['--noprofile', '--norc'], {
    stdin: text,
    cwd: options.cwd,
    env: Object.fromEntries(options.env),
  });
  if (exit !== 0) throw scriptFailed(name, exit);
}

function scriptFailed(name: string, exit: number): DstackError {
  return new DstackError('SCRIPT_FAILED', `${name} failed with exit status ${exit}`, { field: name, value: exit });
}

/** Parses the output of `env -0`. */
export function parseEnvironment(bytes: Uint8Array): Environment {
  const out = new Map<string, string>();
  for (const entry of Buffer.from(bytes).toString('utf8').split('\0')) {
    const at = entry.indexOf('=');
    if (at > 0 && !SHELL_OWN.has(entry.slice(0, at))) out.set(entry.slice(0, at), entry.slice(at + 1));
  }
  return out;
}
