/**
 * The development shell: a virtio-serial port on which the dev image runs a plain shell, without echo or prompt.
 *
 * One command at a time. A command is one line that decodes a script, runs it in a process of its own with empty stdin,
 * and answers one line `<nonce>:<exit>:<stdout>:<stderr>:` with both outputs in base64, so that no output of the
 * command, however binary, can be taken for the answer.
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { within } from './wait.ts';

export interface ShellResult {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What `timeout` returns when it had to end a command. */
export const TIMED_OUT = 124;

/** The line that runs `script` with a limit of whole seconds. */
export function commandLine(nonce: string, script: string, seconds: number): string {
  const encoded = Buffer.from(script).toString('base64');
  return [
    'd=$(mktemp -d /run/dev-shell.XXXXXX)',
    `echo ${encoded} | base64 -d >$d/script`,
    `timeout -k 5 ${seconds} bash $d/script </dev/null >$d/out 2>$d/err`,
    'r=$?',
    `echo "${nonce}:$r:$(base64 -w0 $d/out):$(base64 -w0 $d/err):"`,
    'rm -rf $d\n',
  ].join('; ');
}

/** Reads an answer line; undefined if the line is something else. */
export function parseAnswer(nonce: string, line: string): ShellResult | undefined {
  const start = line.indexOf(`${nonce}:`);
  const fields = start < 0 ? [] : line.slice(start + nonce.length + 1).split(':');
  if (fields.length !== 4 || !/^\d+$/.test(fields[0] ?? '')) return undefined;
  const text = (base64: string | undefined) => Buffer.from(base64 ?? '', 'base64').toString('utf8');
  return { exit: Number(fields[0]), stdout: text(fields[1]), stderr: text(fields[2]) };
}

/** One connection to the shell of one VM. */
export class Shell {
  readonly #socket: Socket;
  #queue: Promise<unknown> = Promise.resolve();
  #rest = '';
  #listener: ((line: string) => void) | undefined;
  #closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      const lines = (this.#rest + chunk).split('\n');
      this.#rest = lines.pop() ?? '';
      for (const line of lines) this.#listener?.(line.replace(/\r$/, ''));
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#closed = true;
    });
  }

  /** Connects to QEMU's side of the port; what is sent waits there until the guest opens its side. */
  static async open(path: string): Promise<Shell> {
    const socket = connect({ path });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new Shell(socket);
  }

  /** Runs a bash script in the guest. Commands of several callers run one after the other. */
  run(script: string, timeoutMs = 60_000): Promise<ShellResult> {
    const done = this.#queue.then(() => this.#run(script, timeoutMs));
    this.#queue = done.catch(() => {});
    return done;
  }

  #run(script: string, timeoutMs: number): Promise<ShellResult> {
    if (this.#closed) return Promise.reject(new Error('the shell of the VM is closed'));
    const nonce = `dev${randomBytes(9).toString('hex')}`;
    const answer = new Promise<ShellResult>((resolve, reject) => {
      const gone = () => reject(new Error('the VM ended before its shell answered'));
      this.#socket.once('close', gone);
      this.#listener = (line) => {
        const result = parseAnswer(nonce, line);
        if (!result) return;
        this.#socket.off('close', gone);
        resolve(result);
      };
    });
    this.#socket.write(commandLine(nonce, script, Math.ceil(timeoutMs / 1000)));
    // the guest's own limit answers first unless the guest itself hangs
    return within(timeoutMs + 15_000, `\`${script.trim().split('\n')[0]?.slice(0, 80)}\` in the VM`, answer);
  }

  close(): void {
    this.#socket.destroy();
  }
}
