/** Docker's log stream: frames of an 8-byte header (stream type, 3 zero bytes, length in big-endian) and a message. */

export interface LogFrame {
  readonly channel: 'stdin' | 'stdout' | 'stderr' | 'console';
  readonly message: Uint8Array;
}

const CHANNELS = ['stdin', 'stdout', 'stderr'] as const;
const HEADER = 8;
/** docker cuts lines at 16 KiB; a frame beyond this is not docker's */
const FRAME_LIMIT = 16 * 1024 * 1024;

/** Cuts a stream into frames, however the chunks fall. */
export class DockerFrames {
  readonly #raw: boolean;
  #rest: Buffer = Buffer.alloc(0);

  /** @param raw the stream of a terminal: no frames, everything is `console` */
  constructor(raw: boolean) {
    this.#raw = raw;
  }

  /**
   * Frames that are complete with this chunk; what came before damage is still given out.
   * @throws Error when the stream is damaged
   */
  *push(chunk: Uint8Array): Generator<LogFrame> {
    if (this.#raw) return yield { channel: 'console', message: chunk };
    this.#rest = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (this.#rest.length - at >= HEADER) {
      const channel = CHANNELS[this.#rest[at] ?? 0xff];
      const length = this.#rest.readUInt32BE(at + 4);
      if (channel === undefined || length > FRAME_LIMIT) throw new Error('docker’s log stream is damaged');
      if (this.#rest.length - at < HEADER + length) break;
      yield { channel, message: new Uint8Array(this.#rest.subarray(at + HEADER, at + HEADER + length)) };
      at += HEADER + length;
    }
    this.#rest = Buffer.from(this.#rest.subarray(at));
  }
}
