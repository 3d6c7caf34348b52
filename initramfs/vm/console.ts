/** The guest's serial console: kept in memory and in a file, every line with the seconds since the start. */
import { createWriteStream, type WriteStream } from 'node:fs';

/** Terminal control sequences (ECMA-48 CSI and OSC): systemd colours its console output. */
const ANSI = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;
const KEPT_LINES = 4000;

export class ConsoleLog {
  readonly file: string;
  readonly #out: WriteStream;
  readonly #started = performance.now();
  readonly #lines: string[] = [];
  readonly #watchers = new Set<(line: string) => void>();
  readonly #rest = new Map<string, string>();

  constructor(file: string) {
    this.file = file;
    this.#out = createWriteStream(file);
    this.#out.on('error', () => {}); // a full disk must not end the VM: the lines stay in memory
  }

  /** Takes output as it comes; `source` separates streams (QEMU's own messages get a prefix). */
  append(chunk: Uint8Array, source: 'guest' | 'qemu' = 'guest'): void {
    const text = (this.#rest.get(source) ?? '') + Buffer.from(chunk).toString('utf8');
    const lines = text.split('\n');
    this.#rest.set(source, lines.pop() ?? '');
    for (const line of lines) this.#add(source === 'qemu' ? `qemu: ${line}` : line);
  }

  #add(raw: string): void {
    const line = raw.replace(ANSI, '').replace(/[\r\u0000]/g, '');
    const seconds = ((performance.now() - this.#started) / 1000).toFixed(2).padStart(7);
    this.#out.write(`${seconds} ${line}\n`);
    this.#lines.push(`${seconds} ${line}`);
    if (this.#lines.length > KEPT_LINES) this.#lines.shift();
    for (const watcher of this.#watchers) watcher(line);
  }

  /** Calls `watcher` for each line (without time stamp) until the returned function is called. */
  watch(watcher: (line: string) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** The last lines, with time stamps. */
  tail(count = 30): string[] {
    return this.#lines.slice(-count);
  }

  /** Everything that is still in memory, one text. */
  get text(): string {
    return this.#lines.join('\n');
  }

  async close(): Promise<void> {
    for (const [source, rest] of this.#rest) if (rest !== '') this.#add(source === 'qemu' ? `qemu: ${rest}` : rest);
    this.#rest.clear();
    await new Promise<void>((resolve) => this.#out.end(() => resolve()));
  }
}
