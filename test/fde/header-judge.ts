/**
 * The real cryptsetup as the judge of a header: does it open, with the key and with another one? No device-mapper is
 * needed, since only the passphrase is tried. A run may use one second of processor time, a hundred times what a good header
 * needs.
 */
import { spawn } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Variant } from './header-variants.ts';

const CRYPTSETUP = '/usr/sbin/cryptsetup';
const PRLIMIT = '/usr/bin/prlimit';
const PROCESSOR_SECONDS = 1;
const AT_ONCE = 2;
/** Size of the header in memory, as the boot gives it to cryptsetup. */
const HEADER_FILE = 16 * 1024 * 1024;

/** `refused`: the header or the key; `stalled`: no answer within the limit. */
export type Answer = 'opened' | 'refused' | 'stalled';

export interface Verdict {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** answer to a key the header was not made with */
  readonly wrong: Answer;
  /** answer to its own key; not asked (and refused or stalled, too) if it was not about the key */
  readonly right: Answer;
}

/** cryptsetup(8): wrong key. All other failures do not depend on the key. */
const EXIT_WRONG_KEY = 2;

/** Version of the cryptsetup of this machine, or why nothing can be judged. */
export async function judgeVersion(): Promise<{ version?: string; missing?: string }> {
  for (const path of [CRYPTSETUP, PRLIMIT]) {
    if (await fs.access(path).catch(() => true)) return { missing: `${path} is not installed` };
  }
  const { out } = await run(CRYPTSETUP, ['--version'], '');
  return { version: /\d+\.\d+\.\d+/.exec(out)?.[0] ?? out.trim() };
}

/** Asks about each header, in a file as the boot makes it, and leaves nothing behind. Answers in the order of the headers. */
export async function judge(
  all: readonly Variant[],
  keys: { readonly right: string; readonly wrong: string },
): Promise<Verdict[]> {
  const dir = await fs.mkdtemp(join(tmpdir(), 'judge-'));
  try {
    const data = join(dir, 'data');
    await fs.writeFile(data, '');
    await fs.truncate(data, HEADER_FILE + 1024 * 1024);
    const verdicts: Verdict[] = [];
    let next = 0;
    const worker = async (header: string): Promise<void> => {
      for (let at = next++; at < all.length; at = next++) {
        const { name, bytes } = all[at] as Variant;
        // cryptsetup repairs copies it finds damaged: each question gets a fresh file
        const ask = async (key: string): Promise<number | 'stalled'> => {
          await fs.writeFile(header, bytes);
          await fs.truncate(header, HEADER_FILE);
          return open(header, data, key);
        };
        const first = await ask(keys.wrong);
        const wrong = answer(first);
        const right = first === 0 || first === EXIT_WRONG_KEY ? answer(await ask(keys.right)) : wrong;
        verdicts[at] = { name, bytes, wrong, right };
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => worker(join(dir, `header-${i}`))));
    return verdicts;
  } finally {
    await fs.rm(dir, { recursive: true });
  }
}

const answer = (exit: number | 'stalled'): Answer =>
  exit === 'stalled' ? 'stalled' : exit === 0 ? 'opened' : 'refused';

async function open(header: string, data: string, key: string): Promise<number | 'stalled'> {
  const limit = `--cpu=${PROCESSOR_SECONDS}`;
  const args = ['luksOpen', '--type', 'luks2', '--test-passphrase', '--header', header, '--key-file=-', data];
  const { exit, signal, err } = await run(PRLIMIT, [limit, CRYPTSETUP, ...args, 'judged'], key);
  if (signal === 'SIGKILL' || signal === 'SIGXCPU') return 'stalled';
  if (exit === null) throw new Error(`cryptsetup ended by ${signal}: ${err}`);
  return exit;
}

interface Ended {
  readonly exit: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

function run(program: string, args: readonly string[], input: string): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args);
    let [out, err] = ['', ''];
    child.stdout.on('data', (text) => (out += text));
    child.stderr.on('data', (text) => (err += text));
    child.stdin.on('error', () => {}); // it may end without having read the key
    child.on('error', reject);
    child.on('close', (exit, signal) => resolve({ exit, signal, out, err }));
    child.stdin.end(input);
  });
}
