import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NbdServer } from './nbd-server.ts';
import { VolatileDisk } from './volatile-disk.ts';

const COMMAND = { READ: 0, WRITE: 1, FLUSH: 3, WRITE_ZEROES: 6 };
const HANDSHAKE = 18;
/** two replies to NBD_OPT_GO: information about the export (12 bytes), acknowledgement */
const AFTER_GO = 20 + 12 + 20;

/** The other end, as the protocol's document says it: just enough to send requests one by one. */
class Client {
  #bytes = Buffer.alloc(0);
  readonly #socket: Socket;
  closed = false;

  constructor(path: string) {
    this.#socket = connect({ path });
    this.#socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
    });
    this.#socket.on('close', () => {
      this.closed = true;
    });
  }

  async take(length: number): Promise<Buffer> {
    for (let i = 0; this.#bytes.length < length; i++) {
      if (this.closed || i > 2000) throw new Error('the server has hung up');
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const taken = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    return taken;
  }

  /** @returns the size of the export */
  async negotiate(): Promise<number> {
    expect((await this.take(HANDSHAKE)).toString('latin1', 0, 16)).toBe('NBDMAGICIHAVEOPT');
    const go = Buffer.alloc(4 + 16 + 6);
    go.writeUInt32BE(1); // client flags: fixed newstyle
    go.write('IHAVEOPT', 4, 'latin1');
    go.writeUInt32BE(7, 12);
    go.writeUInt32BE(6, 16);
    this.#socket.write(go);
    return Number((await this.take(AFTER_GO)).readBigUInt64BE(20 + 2));
  }

  async request(type: number, at: number, body: Uint8Array | number, flags = 0): Promise<Buffer> {
    const length = typeof body === 'number' ? body : body.length;
    const head = Buffer.alloc(28);
    head.writeUInt32BE(0x25609513);
    head.writeUInt16BE(flags, 4);
    head.writeUInt16BE(type, 6);
    head.writeBigUInt64BE(77n, 8);
    head.writeBigUInt64BE(BigInt(at), 16);
    head.writeUInt32BE(length, 24);
    this.#socket.write(typeof body === 'number' ? head : Buffer.concat([head, body]));
    const reply = await this.take(16);
    expect([reply.readUInt32BE(0), reply.readUInt32BE(4), reply.readBigUInt64BE(8)]).toEqual([0x67446698, 0, 77n]);
    return type === COMMAND.READ ? this.take(length) : Buffer.alloc(0);
  }

  end(): void {
    this.#socket.destroy();
  }
}

describe('nbd server', () => {
  let dir: string;
  let disk: VolatileDisk;
  let server: NbdServer;
  let client: Client;
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'nbd-'));
    disk = new VolatileDisk(1 << 20);
    server = await NbdServer.listen(disk, join(dir, 'socket'));
    client = new Client(join(dir, 'socket'));
    expect(await client.negotiate()).toBe(1 << 20);
  });
  afterEach(async () => {
    client.end();
    await server.close();
    rmSync(dir, { recursive: true });
  });

  it('reads what it was given, zeros elsewhere', async () => {
    await client.request(COMMAND.WRITE, 4096, Buffer.alloc(70_000, 7));
    await client.request(COMMAND.WRITE_ZEROES, 8192, 512);
    expect([...(await client.request(COMMAND.READ, 4095, 3))]).toEqual([0, 7, 7]);
    expect([...(await client.request(COMMAND.READ, 8191, 2))]).toEqual([7, 0]);
  });

  it('commits at a flush and at FUA only', async () => {
    await client.request(COMMAND.WRITE, 0, Buffer.alloc(512, 1));
    expect(disk.unflushed).toBe(512);
    await client.request(COMMAND.FLUSH, 0, 0);
    expect(disk.unflushed).toBe(0);
    await client.request(COMMAND.WRITE, 512, Buffer.alloc(512, 2));
    await client.request(COMMAND.WRITE, 1024, Buffer.alloc(512, 3), 1);
    expect(disk.cut(1, 'nothing')).toBe(512);
    expect([0, 512, 1024].map((at) => disk.read(at, 1)[0])).toEqual([1, 0, 3]);
  });

  it('neither does nor answers the request at which it falls silent', async () => {
    server.onChange = ({ at }) => at === 512 && server.silence();
    await client.request(COMMAND.WRITE, 0, Buffer.alloc(512, 1));
    await expect(client.request(COMMAND.WRITE, 512, Buffer.alloc(512, 2))).rejects.toThrow('hung up');
    expect([0, 512].map((at) => disk.read(at, 1)[0])).toEqual([1, 0]);
  });
});
