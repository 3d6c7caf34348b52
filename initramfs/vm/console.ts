/** The guest's serial console: kept in memory and in a file, every line with the seconds since the start. */
import { createWriteStream, type WriteStream } from 'node:fs';
import { withoutSequences } from '../../src/ui.ts';

const KEPT_LINES = 4000;

/** Splits chunks of UTF-8 into lines; a character may be split between two chunks. */
class Stream {
  readonly #decoder = new TextDecoder();
  #rest = '';

  lines(chunk: Uint8Array): string[] {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split('\n');
    this.#rest = lines.pop() ?? '';
    return lines;
  }
}

export class ConsoleLog {
  readonly file: string;
  readonly #out: WriteStream;
  readonly #started = performance.now();
  readonly #lines: string[] = [];
  readonly #watchers = new Set<(line: string) => void>();
  readonly #streams = { guest: new Stream(), qemu: new Stream() };

  constructor(file: string) {
    this.file = file;
    this.#out = createWriteStream(file);
    this.#out.on('error', () => {}); // a full disk must not end the VM: the lines stay in memory
  }

  /** Takes output as it comes; `source` separates streams (QEMU's own messages get a prefix). */
  append(chunk: Uint8Array, source: 'guest' | 'qemu' = 'guest'): void {
    for (const line of this.#streams[source].lines(chunk)) this.#add(source === 'qemu' ? `qemu: ${line}` : line);
  }

  #add(raw: string): void {
    const line = withoutSequences(raw) /* systemd colours its console output */;
    if (line === '' || line === 'qemu: ') return;
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
    for (const source of ['guest', 'qemu'] as const) this.append(Buffer.from('\n'), source);
    await new Promise<void>((resolve) => this.#out.end(() => resolve()));
  }
}
