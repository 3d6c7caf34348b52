/**
 * Scripts of the app (dstack boot order, app start). They run in bash, in the work directory, with their output in our
 * log. The pre-launch script is sourced: what it exports reaches the containers.
 */
import { DstackError } from '../errors.ts';
import { runAttached } from '../sys/attached.ts';
import { isDryRun } from '../sys/effects.ts';
import * as ui from '../ui.ts';

export type Environment = ReadonlyMap<string, string>;

export interface ScriptOptions {
  readonly cwd: string;
  readonly env: Environment;
  /** milliseconds; without it a script takes as long as it takes */
  readonly timeoutMs?: number | undefined;
}

const ENVIRONMENT_LIMIT = 4 * 1024 * 1024;

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
 * @throws SCRIPT_FAILED with the exit status, SCRIPT_TIMEOUT
 */
export async function sourceScript(
  name: string,
  text: string,
  options: ScriptOptions,
): Promise<Environment | undefined> {
  const { captured } = await bash(name, ['-c', SOURCE_AND_TELL], text, options, ENVIRONMENT_LIMIT);
  if (isDryRun()) return options.env; // what it would export is not known
  return captured.length === 0 ? undefined : parseEnvironment(captured);
}

/** Pipes a script into a bash of its own. @throws SCRIPT_FAILED with the exit status, SCRIPT_TIMEOUT */
export async function runScript(name: string, text: string, options: ScriptOptions): Promise<void> {
  await bash(name, [], text, options, 0);
}

async function bash(
  name: string,
  args: readonly string[],
  text: string,
  { cwd, env, timeoutMs = 0 }: ScriptOptions,
  captureLimit: number,
) {
  const result = await runAttached('bash', ['--noprofile', '--norc', ...args], {
    stdin: text,
    cwd,
    env: Object.fromEntries(env),
    timeoutMs,
    captureLimit,
  });
  const { exit, timedOut } = result;
  if (timedOut) {
    const message = `${name} did not end within ${ui.duration(timeoutMs)} and was stopped`;
    throw new DstackError('SCRIPT_TIMEOUT', message, { field: name });
  }
  if (exit !== 0)
    throw new DstackError('SCRIPT_FAILED', `${name} failed with exit status ${exit}`, { field: name, value: exit });
  return result;
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
