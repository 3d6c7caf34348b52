/** QEMU's machine protocol (QMP): the few commands the runner needs. */
import { connect, type Socket } from 'node:net';
import { within } from './wait.ts';

interface Answer {
  return?: unknown;
  error?: { class: string; desc: string };
  event?: string;
  QMP?: unknown;
}

/** One QMP session; commands are answered in order. */
export class Qmp {
  readonly #socket: Socket;
  readonly #waiting: { resolve: (value: unknown) => void; reject: (reason: Error) => void }[] = [];
  readonly #greeted: Promise<unknown>;
  #rest = '';

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#greeted = new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
    this.#greeted.catch(() => {}); // reported by `open`, or nobody is interested any more
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => this.#take(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error('QEMU closed its control socket'));
    });
  }

  /** Connects and leaves the negotiation mode. */
  static async open(path: string, timeoutMs = 5000): Promise<Qmp> {
    const socket = connect({ path });
    await within(
      timeoutMs,
      `QEMU's control socket ${path}`,
      new Promise<void>((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', reject);
      }),
    );
    const qmp = new Qmp(socket);
    await within(timeoutMs, 'the greeting of QEMU', qmp.#greeted);
    await qmp.execute('qmp_capabilities', {}, timeoutMs);
    return qmp;
  }

  /** Runs one command. */
  execute(command: string, args: Record<string, unknown> = {}, timeoutMs = 10_000): Promise<unknown> {
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.push({ resolve, reject }));
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    return within(timeoutMs, `QEMU's answer to ${command}`, answer);
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: string): void {
    const lines = (this.#rest + chunk).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.trim() === '') continue;
      const answer = JSON.parse(line) as Answer;
      if (answer.event !== undefined) continue;
      const waiter = this.#waiting.shift();
      if (answer.error) waiter?.reject(new Error(`QEMU: ${answer.error.desc}`));
      else waiter?.resolve(answer.return ?? answer.QMP);
    }
  }
}
