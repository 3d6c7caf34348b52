/**
 * The development shell: a virtio-serial port on which the dev image runs a plain shell, without echo or prompt.
 *
 * One command at a time. A command is one line that writes a script, runs it in a process of its own with empty stdin,
 * and answers one line `<nonce>:<exit>:<stdout>:<stderr>:` with both outputs in base64, so that no output of the
 * command, however binary, can be taken for the answer. Each program that a guest starts under emulation costs a
 * processor a tenth of a second, so the line does with what the shell itself can do wherever that is possible.
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

/** The text as a word of bash in which only letters, digits and harmless signs stand for themselves. */
const bashWord = (text: string): string =>
  `$'${Buffer.from(text)
    .toString('latin1')
    .replaceAll(/[^\w ./:=,@+-]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`)}'`;

/**
 * The line that runs `script` with a limit of whole seconds. Its files have names of their own, because a process that the
 * script leaves behind may go on writing; they stay, emptied, in the guest's memory.
 */
export function commandLine(nonce: string, script: string, seconds: number): string {
  const file = `/run/dev-shell/${nonce}`;
  const base64 = (name: string) => `$(if [ -s ${file}.${name} ]; then exec base64 -w0 ${file}.${name}; fi)`;
  return [
    '[ -d /run/dev-shell ] || mkdir -m 700 /run/dev-shell',
    `printf %s ${bashWord(script)} >${file}`,
    `timeout -k 5 ${seconds} bash ${file} </dev/null >${file}.out 2>${file}.err`,
    `echo "${nonce}:$?:${base64('out')}:${base64('err')}:"`,
    `: >${file} >${file}.out >${file}.err\n`,
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
