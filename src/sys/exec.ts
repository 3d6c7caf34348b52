/**
 * Starting external programs: argv arrays only, never a shell; a clean environment; secrets on stdin; a time limit;
 * stdout and stderr captured with a bound. Every call is one bracketed log record.
 */
import { DstackError, type ErrorCode } from '../errors.ts';
import * as ui from '../ui.ts';
import { effect, isDryRun } from './effects.ts';
import { PROGRAMS, type Program, SAFE_PATH } from './programs.ts';

export interface RunOptions {
  /** bytes for the child's stdin; may hold a secret: never logged. Without it stdin is empty */
  readonly stdin?: Uint8Array | string;
  /** limit in milliseconds, default 120 000 */
  readonly timeout?: number;
  /** exit statuses that count as success, default [0] */
  readonly ok?: readonly number[];
  readonly cwd?: string;
  /** added to the minimal environment (PATH, LC_ALL=C, TZ=UTC); never put a secret here */
  readonly env?: Readonly<Record<string, string>>;
  /** error code of a failure, default COMMAND_FAILED */
  readonly code?: ErrorCode;
  /** true for a program that only looks (also runs in a dry run) */
  readonly readOnly?: boolean;
  /** called with every complete line of output as it comes (both streams) */
  readonly onLine?: (line: string, stream: 'stdout' | 'stderr') => void;
}

export interface RunResult {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Captured output is cut at this size; a program that floods us must not fill the guest's memory. */
const OUTPUT_LIMIT = 4 * 1024 * 1024;
const TAIL_LINES = 12;

/** Quotes a command for people: only characters a shell would not touch stay bare. */
export function quoteCommand(argv: readonly string[]): string {
  return argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ');
}

let sequence = 0;

/** Runs a program of the table and returns its output; throws when it cannot be started, fails or takes too long. */
export async function run(program: Program, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { execa } = await import('execa');
  const file = PROGRAMS[program];
  const shown = quoteCommand([file, ...args]);
  if (isDryRun() && !options.readOnly) {
    return effect(`run ${shown}`, { exit: 0, stdout: '', stderr: '' }, () => Promise.reject(new Error('unreachable')));
  }
  const id = ++sequence;
  const timeout = options.timeout ?? 120_000;
  ui.debug(`[exec ${id}] ${shown}`);
  const started = performance.now();
  const child = execa(file, args, {
    env: { PATH: SAFE_PATH, LC_ALL: 'C', TZ: 'UTC', HOME: '/root', ...options.env },
    extendEnv: false,
    input: options.stdin ?? '',
    timeout,
    forceKillAfterDelay: 5000,
    reject: false,
    stripFinalNewline: false,
    maxBuffer: OUTPUT_LIMIT,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  if (options.onLine) {
    forEachLine(child.stdout, (line) => options.onLine?.(line, 'stdout'));
    forEachLine(child.stderr, (line) => options.onLine?.(line, 'stderr'));
  }
  const done = await child;
  const elapsed = ui.duration(performance.now() - started);
  const stdout = String(done.stdout ?? '');
  const stderr = String(done.stderr ?? '');
  if (done.code === 'ENOENT' || done.code === 'EACCES') {
    ui.debug(`[exec ${id}] not found`);
    throw new DstackError('COMMAND_NOT_FOUND', `program ${file} is not installed`, { value: file, cause: done.cause });
  }
  if (done.timedOut) {
    throw new DstackError('COMMAND_TIMEOUT', `\`${shown}\` did not finish within ${ui.duration(timeout)}`, {
      cause: tail(stderr),
    });
  }
  const exit = done.exitCode ?? -1;
  ui.debug(`[exec ${id}] exit ${exit}, ${elapsed}`);
  if (!(options.ok ?? [0]).includes(exit)) {
    const how = done.signal
      ? `was ended by ${done.signal}`
      : exit < 0
        ? `failed (${done.shortMessage})`
        : `failed with exit status ${exit}`;
    throw new DstackError(options.code ?? 'COMMAND_FAILED', `\`${shown}\` ${how}`, {
      cause: tail(stderr) ?? tail(stdout),
    });
  }
  return { exit, stdout, stderr };
}

/** The last lines of a program's output as a cause, or undefined when it said nothing. */
function tail(text: string): string | undefined {
  const lines = ui.printable(text.trim()).split('\n').slice(-TAIL_LINES).join('\n');
  return lines === '' ? undefined : lines;
}

function forEachLine(stream: NodeJS.ReadableStream | null | undefined, take: (line: string) => void): void {
  if (!stream) return;
  let rest = '';
  stream.on('data', (chunk: Uint8Array | string) => {
    const parts = (rest + (typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8'))).split('\n');
    rest = parts.pop() ?? '';
    for (const line of parts) take(line);
  });
  stream.on('end', () => {
    if (rest !== '') take(rest);
  });
}

/** True if the program is on the safe path. */
export async function installed(program: Program): Promise<boolean> {
  const { access, constants } = await import('node:fs/promises');
  for (const dir of SAFE_PATH.split(':')) {
    try {
      await access(`${dir}/${PROGRAMS[program]}`, constants.X_OK);
      return true;
    } catch {}
  }
  return false;
}
