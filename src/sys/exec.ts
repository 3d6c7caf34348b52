/**
 * Starting external programs: argv arrays only, never a shell; a clean environment; secrets on stdin; a time limit;
 * stdout and stderr captured with a bound. Every call is one bracketed log record.
 *
 * On node:child_process and not on execa: the dry run, the fixed search path, the error codes and the log records would
 * stand around execa as they stand here, and it would save some sixty lines at 6 ms of processor time a process.
 */
import { spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { DstackError, type ErrorCode } from '../errors.ts';
import * as ui from '../ui.ts';
import { effect, isDryRun } from './effects.ts';
import { PROGRAMS, type Program, SAFE_PATH } from './programs.ts';
import { timeLimit } from './time-limit.ts';

export interface RunOptions {
  /** bytes for the child's stdin; may hold a secret: never logged. Without it stdin is empty */
  readonly stdin?: Uint8Array | string;
  /** limit in milliseconds, default 120 000; 0 = none */
  readonly timeoutMs?: number;
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
  /** takes secrets out of output before it is logged, handed to `onLine`, or becomes part of an error */
  readonly redact?: (text: string) => string;
}

export interface RunResult {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Captured output is cut at this size; a program that floods us must not fill the guest's memory. */
const OUTPUT_LIMIT = 4 * 1024 * 1024;
const TAIL_LINES = 12;
/** a line handed to `onLine` keeps at most this many characters while it is unfinished */
const LINE_LIMIT = 64 * 1024;
/** how long output is awaited after the program itself has ended */
const LINGER_MS = 1000;

/** Quotes a command for people: only characters a shell would not touch stay bare. */
export function quoteCommand(argv: readonly string[]): string {
  return argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ');
}

let sequence = 0;

/** Runs a program of the table and returns its output; throws when it cannot be started, fails or takes too long. */
export async function run(program: Program, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const file = PROGRAMS[program];
  const shown = quoteCommand([file, ...args]);
  if (isDryRun() && !options.readOnly) {
    return effect(`run ${shown}`, { exit: 0, stdout: '', stderr: '' }, () => Promise.reject(new Error('unreachable')));
  }
  const id = ++sequence;
  const timeoutMs = options.timeoutMs ?? 120_000;
  ui.debug(`[exec ${id}] ${shown}`);
  const started = performance.now();
  const path = await locate(program);
  if (path === undefined) {
    ui.debug(`[exec ${id}] not found`);
    throw new DstackError('COMMAND_NOT_FOUND', `program ${file} is not installed`, { value: file });
  }
  const { redact = (text: string) => text } = options;
  const done = await capture(path, args, options, timeoutMs);
  ui.debug(`[exec ${id}] exit ${done.exit}, ${ui.duration(performance.now() - started)}`);
  if (done.timedOut) {
    throw new DstackError('COMMAND_TIMEOUT', `\`${shown}\` did not finish within ${ui.duration(timeoutMs)}`, {
      cause: tail(redact(done.stderr)),
    });
  }
  if (!(options.ok ?? [0]).includes(done.exit)) {
    const how = done.signal === null ? `failed with exit status ${done.exit}` : `was ended by ${done.signal}`;
    throw new DstackError(options.code ?? 'COMMAND_FAILED', `\`${shown}\` ${how}`, {
      cause: tail(redact(done.stderr)) ?? tail(redact(done.stdout)),
    });
  }
  return { exit: done.exit, stdout: done.stdout, stderr: done.stderr };
}

interface Captured extends RunResult {
  readonly signal: NodeJS.Signals | null;
  readonly timedOut: boolean;
}

/** Starts the program, feeds its stdin, collects both streams up to the limit, and ends it when its time is over. */
function capture(path: string, args: readonly string[], options: RunOptions, timeoutMs: number): Promise<Captured> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, args, {
      env: { PATH: SAFE_PATH, LC_ALL: 'C', TZ: 'UTC', HOME: '/root', ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    const { onLine, redact = (line: string) => line } = options;
    const stdout = collect(child.stdout, (line) => onLine?.(redact(line), 'stdout'));
    const stderr = collect(child.stderr, (line) => onLine?.(redact(line), 'stderr'));
    child.stdin.on('error', () => {}); // a program that does not read its stdin is not a failure
    child.stdin.end(options.stdin ?? '');

    const limit = timeLimit(timeoutMs, (signal) => child.kill(signal));
    let lingering: NodeJS.Timeout | undefined;
    const settle = (exit: number | null, signal: NodeJS.Signals | null) => {
      limit.clear();
      clearTimeout(lingering);
      // what the program left behind must not keep this process alive either
      child.stdout.destroy();
      child.stderr.destroy();
      resolve({ exit: exit ?? -1, signal, timedOut: limit.passed, stdout: stdout(), stderr: stderr() });
    };
    child.on('error', (failure) => {
      limit.clear();
      reject(new DstackError('COMMAND_FAILED', `cannot start ${path}`, { path, cause: failure }));
    });
    child.on('close', settle);
    // a background process that the program left behind may keep the pipes open for ever
    child.on('exit', (exit, signal) => {
      lingering = setTimeout(settle, LINGER_MS, exit, signal);
    });
  });
}

/** Collects a stream as text, cut at the limit: a program that floods us is read to its end, but not kept. */
function collect(stream: Readable, onLine: (line: string) => void): () => string {
  const chunks: Uint8Array[] = [];
  let kept = 0;
  const decoder = new TextDecoder();
  let rest = '';
  const lines = (text: string) => {
    const parts = (rest + text).split('\n');
    rest = (parts.pop() ?? '').slice(-LINE_LIMIT);
    for (const line of parts) onLine(line);
  };
  stream.on('data', (chunk: Uint8Array) => {
    if (kept < OUTPUT_LIMIT) chunks.push(chunk.subarray(0, OUTPUT_LIMIT - kept));
    kept += chunk.length;
    lines(decoder.decode(chunk, { stream: true }));
  });
  stream.on('end', () => {
    if (rest !== '') onLine(rest);
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

/** The program's file on the safe path. The caller's PATH plays no part. */
async function locate(program: Program): Promise<string | undefined> {
  for (const dir of SAFE_PATH.split(':')) {
    const path = `${dir}/${PROGRAMS[program]}`;
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {}
  }
  return undefined;
}

/** True if the program is on the safe path. */
export const installed = async (program: Program): Promise<boolean> => (await locate(program)) !== undefined;

/** The last lines of a program's output as a cause, or undefined when it said nothing. */
function tail(text: string): string | undefined {
  const lines = ui.printable(text.trim()).split('\n').slice(-TAIL_LINES).join('\n');
  return lines === '' ? undefined : lines;
}
