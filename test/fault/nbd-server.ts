/**
 * Serves a volatile disk to QEMU (NBD protocol, fixed newstyle, simple replies) on a unix socket. Every change can be
 * watched before it takes effect, and the server can fall silent at it: that is the moment of a power cut.
 */
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { Change, VolatileDisk } from './volatile-disk.ts';

const OPTION = { EXPORT_NAME: 1, ABORT: 2, GO: 7 } as const;
const COMMAND = { READ: 0, WRITE: 1, DISC: 2, FLUSH: 3, WRITE_ZEROES: 6 } as const;
const FUA = 1;
/** has flags, flush, FUA, write zeroes */
const FLAGS = 0x1 | 0x4 | 0x8 | 0x40;
const REPLY = { ACK: 1, INFO: 3, UNSUPPORTED: 0x80000001 } as const;
const NO_BYTES = new Uint8Array();

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

export class NbdServer {
  readonly #disk: VolatileDisk;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #silent = false;
  /** called at each change before it takes effect; after `silence` in here it takes none */
  onChange: ((change: Change) => void) | undefined;

  private constructor(disk: VolatileDisk) {
    this.#disk = disk;
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      this.#serve(socket).catch(() => socket.destroy());
    });
  }

  static async listen(disk: VolatileDisk, path: string): Promise<NbdServer> {
    rmSync(path, { force: true });
    const server = new NbdServer(disk);
    await new Promise<void>((resolve) => server.#server.listen(path, resolve));
    return server;
  }

  /** Takes and answers nothing from now on. */
  silence(): void {
    this.#silent = true;
  }

  async close(): Promise<void> {
    this.silence();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
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
    const sizeAndFlags = Buffer.alloc(10);
    sizeAndFlags.writeBigUInt64BE(BigInt(this.#disk.size));
    sizeAndFlags.writeUInt16BE(FLAGS, 8);
    for (;;) {
      const head = await reader.take(16);
      if (head === undefined) return false;
      const option = head.readUInt32BE(8);
      if ((await reader.take(head.readUInt32BE(12))) === undefined) return false;
      const reply = (type: number, data: Uint8Array = NO_BYTES): void => {
        const out = Buffer.alloc(20);
        out.writeBigUInt64BE(0x3e889045565a9n);
        out.writeUInt32BE(option, 8);
        out.writeUInt32BE(type, 12);
        out.writeUInt32BE(data.length, 16);
        socket.write(Buffer.concat([out, data]));
      };
      switch (option) {
        case OPTION.GO:
          reply(REPLY.INFO, Buffer.concat([Buffer.alloc(2), sizeAndFlags])); // NBD_INFO_EXPORT
          reply(REPLY.ACK);
          return true;
        case OPTION.EXPORT_NAME:
          socket.write(Buffer.concat([sizeAndFlags, Buffer.alloc(124)]));
          return true;
        case OPTION.ABORT:
          return false;
        default:
          reply(REPLY.UNSUPPORTED);
      }
    }
  }

  async #transmit(reader: Reader, socket: Socket): Promise<void> {
    for (;;) {
      const head = await reader.take(28);
      if (head === undefined || this.#silent) return;
      const type = head.readUInt16BE(6);
      const at = Number(head.readBigUInt64BE(16));
      const length = head.readUInt32BE(24);
      if (type === COMMAND.DISC) return;
      const data = type === COMMAND.WRITE ? await reader.take(length) : undefined;
      if (type === COMMAND.WRITE && data === undefined) return;
      if (type === COMMAND.WRITE || type === COMMAND.WRITE_ZEROES || type === COMMAND.FLUSH) {
        const bytes = data ? Uint8Array.from(data) : new Uint8Array(type === COMMAND.FLUSH ? 0 : length);
        const change = { flush: type === COMMAND.FLUSH, at, bytes, fua: (head.readUInt16BE(4) & FUA) !== 0 };
        this.onChange?.(change);
        if (this.#silent) return; // the cut came with this request: it is neither done nor answered
        this.#disk.apply(change);
      }
      const out = Buffer.alloc(16);
      out.writeUInt32BE(0x67446698);
      head.copy(out, 8, 8, 16);
      socket.write(type === COMMAND.READ ? Buffer.concat([out, this.#disk.read(at, length)]) : out);
    }
  }
}
