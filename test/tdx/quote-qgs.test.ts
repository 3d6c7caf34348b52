import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import { decodeResponse, encodeRequest, exchange, qgsPort } from '../../src/tdx/quote-qgs.ts';
import { realTdxMachine } from '../../src/tdx/tdx-machine.ts';
import vectors from '../vectors/measurement.json' with { type: 'json' };

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'qgs-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const REPORT = Uint8Array.from({ length: 1024 }, (_, index) => index % 251);

interface Response {
  type?: number;
  error?: number;
  id?: number;
  quote?: Uint8Array;
  claimed?: number;
  major?: number;
  size?: number;
}

function response({
  type = 1,
  error = 0,
  id = 0,
  quote = new Uint8Array(2000),
  claimed,
  major = 1,
  size,
}: Response): Buffer {
  const out = Buffer.alloc(24 + id);
  out.writeUInt16LE(major, 0);
  out.writeUInt32LE(type, 4);
  out.writeUInt32LE(size ?? 24 + id + quote.length, 8);
  out.writeUInt32LE(error, 12);
  out.writeUInt32LE(id, 16);
  out.writeUInt32LE(claimed ?? quote.length, 20);
  return Buffer.concat([out, quote]);
}

const framed = (message: Uint8Array): Buffer => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  return Buffer.concat([length, message]);
};

describe('messages', () => {
  it('the request is framed as documented', () => {
    const request = encodeRequest(REPORT);
    expect(toHex(request.subarray(0, 4))).toBe(vectors.linux_abi.qgs_length_prefix_hex);
    expect(toHex(request.subarray(4, 28))).toBe(vectors.linux_abi.qgs_get_quote_header_hex);
    expect(request.subarray(28)).toEqual(REPORT);
  });

  it('the quote is found behind the id', () => {
    const quote = new Uint8Array(1500).fill(7);
    expect(decodeResponse(response({ quote, id: 16 }))).toEqual(quote);
  });

  it.each([
    ['another type', { type: 0 }, 'QUOTE_INVALID'],
    ['another major version', { major: 2 }, 'QUOTE_INVALID'],
    ['a size that is not its own', { size: 2000 }, 'QUOTE_INVALID'],
    ['an error', { error: 0x12001 }, 'QUOTE_UNAVAILABLE'],
    ['no quote', { quote: new Uint8Array() }, 'QUOTE_EMPTY'],
    ['a short quote', { quote: new Uint8Array(1019) }, 'QUOTE_INVALID'],
    ['a false size', { claimed: 2001 }, 'QUOTE_INVALID'],
    ['a huge size', { claimed: 0xffffffff }, 'QUOTE_INVALID'],
  ])('%s is refused', (_, parts, code) => {
    expect(() => decodeResponse(response(parts))).toThrowError(expect.objectContaining({ code }));
  });

  it('any bytes give a quote or our own error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          decodeResponse(bytes);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
    );
  });
});

describe('exchange', () => {
  async function against(serve: (socket: net.Socket, request: Buffer) => void, timeoutMs = 5000): Promise<Uint8Array> {
    const path = join(root, 'qgs.sock');
    const server = net.createServer((socket) => {
      let received = Buffer.alloc(0);
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        if (received.length === 1052) serve(socket, received);
      });
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      return await exchange(net.connect(path), REPORT, timeoutMs);
    } finally {
      server.close();
    }
  }
  const quote = new Uint8Array(4000).fill(9);

  it('sends the report and takes an answer in pieces', async () => {
    const answer = framed(response({ quote }));
    const got = await against((socket, request) => {
      expect(new Uint8Array(request.subarray(28))).toEqual(REPORT);
      let at = 0;
      const next = () => {
        const piece = answer.subarray(at, at + 700);
        at += 700;
        socket.write(piece, () => at < answer.length && setImmediate(next));
      };
      next();
    });
    expect(got).toEqual(quote);
  });

  it('a service that hangs up is an error', async () => {
    await expect(against((socket) => socket.end(Buffer.alloc(2)))).rejects.toMatchObject({ code: 'QUOTE_UNAVAILABLE' });
  });

  it('a service that says nothing is given up', async () => {
    await expect(against(() => {}, 30)).rejects.toMatchObject({ code: 'QUOTE_TIMEOUT' });
  });

  it('an answer above 16384 bytes is not waited for', async () => {
    await expect(against((socket) => socket.write(Buffer.from('00004001', 'hex')))).rejects.toMatchObject({
      code: 'QUOTE_INVALID',
    });
  });
});

describe('port', () => {
  it.each([
    ['port = 4050\n', 4050],
    ['# port = 1\n  port=4050  \nport = 5\n', 4050],
    ['port = 0\n', undefined],
    ['ports = 3\nother\n', undefined],
    ['port = 99999999999\n', undefined],
    ['', undefined],
  ])('of %j is %s', async (text, port) => {
    mkdirSync(join(root, 'etc'));
    writeFileSync(join(root, 'etc/tdx-attest.conf'), text);
    expect(await qgsPort({ ...realTdxMachine, root })).toBe(port);
  });

  it('of a missing file is none', async () => {
    expect(await qgsPort({ ...realTdxMachine, root })).toBeUndefined();
  });
});
