/**
 * Programs that share our log: scripts of the app. Their output goes straight to our stderr (under systemd: the journal,
 * line by line), so a process that a script leaves running in the background keeps its output and does not keep us waiting.
 */
import { spawn } from 'node:child_process';
import { DstackError } from '../errors.ts';
import * as ui from '../ui.ts';
import { effect } from './effects.ts';
import { quoteCommand } from './exec.ts';
import { PROGRAMS, type Program, SAFE_PATH } from './programs.ts';
import { timeLimit } from './time-limit.ts';

export interface AttachedOptions {
  /** text for the child's stdin; without it stdin is empty */
  readonly stdin?: string;
  readonly cwd?: string;
  /** added to the minimal environment */
  readonly env?: Readonly<Record<string, string>>;
  /** limit in milliseconds, default none: then the program and what it started in its process group are ended */
  readonly timeoutMs?: number;
  /** largest number of bytes taken from the child's descriptor 3; 0 = it has none, nor has what it leaves running */
  readonly captureLimit?: number;
}

export interface AttachedResult {
  /** exit status, or 128 + signal number as a shell counts it */
  readonly exit: number;
  /** what the program wrote to its descriptor 3 */
  readonly captured: Uint8Array;
  readonly timedOut: boolean;
}

const CAPTURE_LIMIT = 4 * 1024 * 1024;

/** Runs a program to its end, or to the end of its time. @throws COMMAND_NOT_FOUND, COMMAND_FAILED */
export function runAttached(
  program: Program,
  args: readonly string[],
  options: AttachedOptions = {},
): Promise<AttachedResult> {
  const shown = quoteCommand([PROGRAMS[program], ...args]);
  const nothing: AttachedResult = { exit: 0, captured: new Uint8Array(0), timedOut: false };
  return effect(`run ${shown} with a script on its input`, nothing, () => start(program, args, options));
}

function start(program: Program, args: readonly string[], options: AttachedOptions): Promise<AttachedResult> {
  return new Promise((resolve, reject) => {
    const file = PROGRAMS[program];
    const limit = options.captureLimit ?? CAPTURE_LIMIT;
    const { timeoutMs = 0 } = options;
    // stdout is for results of ours, so the child's output goes to stderr as a whole
    const child = spawn(file, args, {
      stdio: limit > 0 ? ['pipe', 2, 2, 'pipe'] : ['pipe', 2, 2],
      env: { PATH: SAFE_PATH, LC_ALL: 'C', TZ: 'UTC', HOME: '/root', ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      // a process group of its own, so that it can be ended as a whole; without a limit Ctrl-C reaches it as ever
      detached: timeoutMs > 0,
    });
    const time = timeLimit(timeoutMs, (signal) => killGroup(child.pid, signal));
    const chunks: Uint8Array[] = [];
    let total = 0;
    const channel = child.stdio[3] as NodeJS.ReadableStream | undefined;
    channel?.on('data', (chunk: Uint8Array) => {
      total += chunk.length;
      if (total <= limit) chunks.push(chunk);
    });
    channel?.on('error', () => {});
    child.on('error', (thrown: NodeJS.ErrnoException) => {
      time.clear();
      const missing = thrown.code === 'ENOENT' || thrown.code === 'EACCES';
      reject(
        new DstackError(missing ? 'COMMAND_NOT_FOUND' : 'COMMAND_FAILED', `program ${file} cannot be started`, {
          value: file,
          cause: thrown,
        }),
      );
    });
    child.stdin?.on('error', () => {}); // a script may end before it has read all of its input
    child.stdin?.end(options.stdin ?? '');
    child.on('close', (code, signal) => {
      time.clear();
      ui.debug(`${file} ended with ${signal ?? code}`);
      if (total > limit)
        reject(new DstackError('COMMAND_FAILED', `${file} wrote more than ${limit} bytes to descriptor 3`));
      else {
        const captured = new Uint8Array(Buffer.concat(chunks));
        resolve({ exit: code ?? 128 + signalNumber(signal), captured, timedOut: time.passed });
      }
    });
  });
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {} // it has just ended
}

const SIGNALS: Record<string, number> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};
const signalNumber = (signal: NodeJS.Signals | null): number => (signal === null ? 0 : (SIGNALS[signal] ?? 0));
