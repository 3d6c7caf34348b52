/**
 * A disk with a write cache that a power cut empties: an NBD server (NBD protocol, fixed newstyle) on a unix socket.
 * What the guest has flushed, or written with FUA, is kept. Of everything else a cut keeps any sectors, in no order, as
 * real disks do; the choice is a function of the seed.
 */
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';

const SECTOR = 512;
const OPTION = { EXPORT_NAME: 1, ABORT: 2, LIST: 3, GO: 7 } as const;
const COMMAND = { READ: 0, WRITE: 1, DISC: 2, FLUSH: 3, TRIM: 4, WRITE_ZEROES: 6 } as const;
const FUA = 1;
/** has flags, flush, FUA, trim, write zeroes */
const FLAGS = 0x1 | 0x4 | 0x8 | 0x20 | 0x40;
const REPLY_ACK = 1;
const REPLY_INFO = 3;
const REPLY_UNSUPPORTED = 0x80000001;

/** One request that changes something. */
export interface Change {
  readonly flush: boolean;
  readonly at: number;
  readonly bytes: Uint8Array;
  readonly fua: boolean;
}

interface Write {
  readonly at: number;
  readonly bytes: Uint8Array;
  /** is on the disk whatever happens */
  readonly fua: boolean;
}

/** Bytes that arrive in chunks, read by length. */
class Reader {
  #chunks: Buffer[] = [];
  #length = 0;
  #wake: (() => void) | undefined;
  #ended = false;

  constructor(socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
      this.#wake?.();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on('close', end);
    socket.on('error', end);
  }

  /** Exactly `length` bytes, or undefined at the end of the connection. */
  async take(length: number): Promise<Buffer | undefined> {
    while (this.#length < length) {
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const all = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
    this.#chunks = all.length > length ? [all.subarray(length)] : [];
    this.#length -= length;
    return all.subarray(0, length);
  }
}

export class VolatileDisk {
  /** what is on the disk for good */
  #stable: Buffer;
  /** what the guest reads */
  #current: Buffer;
  #pending: Write[] = [];
  #server: Server | undefined;
  readonly #sockets = new Set<Socket>();
  /** requests that change something since the last cut: writes and flushes */
  changes = 0;
  /** called at each of them, before it takes effect */
  onChange: ((count: number, change: Change) => void) | undefined;
  #dead = false;

  constructor(size: number) {
    this.#stable = Buffer.alloc(size);
    this.#current = Buffer.alloc(size);
  }

  /** Makes the disk larger, as a host does while the machine is off. */
  enlarge(bytes: number): void {
    this.#stable = Buffer.concat([this.#stable, Buffer.alloc(bytes)]);
    this.#current = Buffer.from(this.#stable);
  }

  /** Bytes that only the cache holds. */
  get unflushed(): number {
    return this.#pending.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  async listen(path: string): Promise<void> {
    rmSync(path, { force: true });
    this.#dead = false;
    this.changes = 0;
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      this.#serve(socket).catch(() => {});
    });
    await new Promise<void>((resolve) => this.#server?.listen(path, resolve));
  }

  /** Takes nothing more from now on; the machine is about to be killed. */
  freeze(): void {
    this.#dead = true;
  }

  /**
   * The power is gone: decides what of the cache stays. `keep`: part of the unflushed sectors that happen to be on the
   * disk, 0 to 1. @returns bytes that were lost
   */
  async cut(seed: number, keep: number): Promise<number> {
    this.#dead = true;
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
    await new Promise<void>((resolve) => (this.#server ? this.#server.close(() => resolve()) : resolve()));
    this.#server = undefined;
    let state = (seed % 2_147_483_646) + 1;
    const chance = (): boolean => {
      state = (state * 48_271) % 2_147_483_647;
      return state / 2_147_483_647 < keep;
    };
    let lost = 0;
    for (const { at, bytes, fua } of this.#pending) {
      for (let i = 0; i < bytes.length; i += SECTOR) {
        if (fua || chance()) this.#stable.set(bytes.subarray(i, i + SECTOR), at + i);
        else lost += Math.min(SECTOR, bytes.length - i);
      }
    }
    this.#pending = [];
    this.#current = Buffer.from(this.#stable);
    this.onChange = undefined;
    return lost;
  }

  async #serve(socket: Socket): Promise<void> {
    const reader = new Reader(socket);
    const hello = Buffer.alloc(18);
    hello.write('NBDMAGICIHAVEOPT', 'latin1');
    hello.writeUInt16BE(1, 16); // fixed newstyle
    socket.write(hello);
    if ((await reader.take(4)) === undefined) return;
    if (await this.#negotiate(reader, socket)) await this.#transmit(reader, socket);
    socket.destroy();
  }

  async #negotiate(reader: Reader, socket: Socket): Promise<boolean> {
    for (;;) {
      const head = await reader.take(16);
      if (head === undefined) return false;
      const option = head.readUInt32BE(8);
      if ((await reader.take(head.readUInt32BE(12))) === undefined) return false;
      const reply = (type: number, data = Buffer.alloc(0)): void => {
        const out = Buffer.alloc(20);
        out.writeBigUInt64BE(0x3e889045565a9n);
        out.writeUInt32BE(option, 8);
        out.writeUInt32BE(type, 12);
        out.writeUInt32BE(data.length, 16);
        socket.write(Buffer.concat([out, data]));
      };
      const sizeAndFlags = Buffer.alloc(10);
      sizeAndFlags.writeBigUInt64BE(BigInt(this.#current.length));
      sizeAndFlags.writeUInt16BE(FLAGS, 8);
      if (option === OPTION.GO) {
        reply(REPLY_INFO, Buffer.concat([Buffer.alloc(2), sizeAndFlags]));
        reply(REPLY_ACK);
        return true;
      }
      if (option === OPTION.EXPORT_NAME) {
        socket.write(Buffer.concat([sizeAndFlags, Buffer.alloc(124)]));
        return true;
      }
      if (option === OPTION.ABORT) return false;
      reply(REPLY_UNSUPPORTED);
    }
  }

  async #transmit(reader: Reader, socket: Socket): Promise<void> {
    for (;;) {
      const head = await reader.take(28);
      if (head === undefined || this.#dead) return;
      const [flags, type, at, length] = [
        head.readUInt16BE(4),
        head.readUInt16BE(6),
        Number(head.readBigUInt64BE(16)),
        head.readUInt32BE(24),
      ];
      if (type === COMMAND.DISC) return;
      const data = type === COMMAND.WRITE ? await reader.take(length) : undefined;
      if (type === COMMAND.WRITE && data === undefined) return;
      if (type === COMMAND.WRITE || type === COMMAND.WRITE_ZEROES || type === COMMAND.FLUSH) {
        const bytes = data ? Uint8Array.from(data) : new Uint8Array(type === COMMAND.FLUSH ? 0 : length);
        const change: Change = { flush: type === COMMAND.FLUSH, at, bytes, fua: (flags & FUA) !== 0 };
        this.onChange?.(++this.changes, change);
        if (this.#dead) return; // the cut came with this request: it is neither done nor answered
        this.apply(change);
      }
      const out = Buffer.alloc(16);
      out.writeUInt32BE(0x67446698);
      head.copy(out, 8, 8, 16);
      socket.write(out);
      if (type === COMMAND.READ) socket.write(Buffer.from(this.#current.subarray(at, at + length)));
    }
  }

  /** Does what a request asks for. */
  apply({ flush, at, bytes, fua }: Change): void {
    if (flush) {
      for (const write of this.#pending) this.#stable.set(write.bytes, write.at);
      this.#pending = [];
      return;
    }
    this.#current.set(bytes, at);
    this.#pending.push({ at, bytes, fua });
  }
}
