/** Starting programs of the builder: argv arrays, no shell, and failures that show what the program said last. */
import { execa, type Options } from 'execa';

export interface RunOptions {
  cwd?: string;
  /** The child's complete environment is PATH, a few fixed variables and these. */
  env?: Record<string, string>;
  /** Text for stdin; without it stdin is empty. */
  stdin?: string;
  /** Called for each line of stdout and stderr, for progress reports. */
  onLine?: (line: string) => void;
  timeoutMs?: number;
  /** Return a non-zero status instead of throwing. */
  allowFailure?: boolean;
  /** What an error names instead of the command, when that is long or wrapped. */
  title?: string;
}

export interface RunResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** The environment of every tool: nothing of the caller's except the search path, fixed language and time zone. */
export function toolEnv(extra: Record<string, string> = {}): Record<string, string> {
  const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  return { PATH, LC_ALL: 'C.UTF-8', TZ: 'UTC', HOME: '/root', DEBIAN_FRONTEND: 'noninteractive', ...extra };
}

/** Runs a program to its end and returns what it printed. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [file, ...args] = argv;
  if (file === undefined) throw new Error('run: empty command');
  const execaOptions: Options = {
    env: toolEnv(options.env),
    extendEnv: false,
    reject: false,
    maxBuffer: 256 * 1024 * 1024,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
    ...(options.stdin === undefined ? { stdin: 'ignore' as const } : { input: options.stdin }),
  };
  const child = execa(file, args, execaOptions);
  if (options.onLine) {
    for (const stream of [child.stdout, child.stderr]) stream && forEachLine(stream, options.onLine);
  }
  const done = await child;
  const result = {
    exitCode: done.exitCode ?? -1,
    stdout: String(done.stdout ?? ''),
    stderr: String(done.stderr ?? ''),
  };
  if (done.exitCode !== 0 && !options.allowFailure)
    throw new Error(describeFailure(options.title ?? quote(argv), done, result));
  return result;
}

function forEachLine(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let rest = '';
  stream.on('data', (chunk: Buffer | string) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') onLine(line.trim());
  });
}

/** Lines that say why, wherever they stand: no network, no space. */
const REASON = /resolv|connect|unreachable|no space left/i;

interface Ended {
  exitCode?: number | undefined;
  signal?: string | undefined;
  timedOut: boolean;
  shortMessage?: string | undefined;
}

function quote(argv: readonly string[]): string {
  const command = argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word}'`)).join(' ');
  return command.length > 300 ? `${command.slice(0, 300)} ...` : command;
}

function describeFailure(command: string, done: Ended, result: RunResult): string {
  const how = done.timedOut ? 'timed out' : done.signal ? `killed by ${done.signal}` : `exit status ${done.exitCode}`;
  const all = (result.stderr.trim() || result.stdout.trim()).split('\n');
  // what was written first may be the reason, and what comes last only its consequence
  const reasons = all.slice(0, -12).filter((line) => REASON.test(line));
  const said = [...reasons.slice(0, 3), ...all.slice(-12)].join('\n  ');
  return `${command}: ${done.exitCode === undefined && !done.signal ? (done.shortMessage ?? how) : how}\n  ${said}`;
}
