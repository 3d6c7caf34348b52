/**
 * `--against NAME=COMMAND|SOCKET`: other implementations that run in the same benchmark, turn by turn with ours, because
 * figures of two runs on a busy machine cannot be compared. A value that begins with `/` and is a socket is one; anything
 * else is a command, words separated by blanks.
 */
import { statSync } from 'node:fs';
import { InvalidArgumentError } from 'commander';

export interface Rival {
  readonly name: string;
  /** path of a unix socket that answers as dstack.sock does */
  readonly socket?: string;
  /** program and its first arguments, in the place of `dstack-util` */
  readonly command?: readonly string[];
}

/** One more value of `--against`, behind those before it. @throws InvalidArgumentError for one that names nothing */
export function addRival(text: string, before: readonly Rival[]): Rival[] {
  const [, name, what] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
  if (name === undefined || what === undefined) throw new InvalidArgumentError('Write NAME=COMMAND or NAME=SOCKET.');
  return [...before, isSocket(what) ? { name, socket: what } : { name, command: what.split(/\s+/).filter(Boolean) }];
}

function isSocket(path: string): boolean {
  return path.startsWith('/') && (statSync(path, { throwIfNoEntry: false })?.isSocket() ?? false);
}

/** Runs all turn by turn, `rounds` times each, and keeps the order fair by turning it round every time. */
export async function inTurns(
  runs: ReadonlyMap<string, () => Promise<number>>,
  rounds: number,
): Promise<Map<string, number[]>> {
  const values = new Map([...runs.keys()].map((name): [string, number[]] => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const order = [...runs];
    if (round % 2 === 1) order.reverse();
    for (const [name, once] of order) values.get(name)?.push(await once());
  }
  return values;
}
