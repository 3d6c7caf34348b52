/** The same bytes read by node:http, whose parser (llhttp) is another reading of RFC 9112 than ours: an oracle for tests. */
import { createServer, type IncomingMessage, METHODS } from 'node:http';
import { Duplex } from 'node:stream';

export interface NodeRequest {
  readonly method: string;
  /** as it came */
  readonly target: string;
  /** names as they came, each with its value, in their order */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

export interface NodeReading {
  /** complete requests, in their order */
  readonly requests: readonly NodeRequest[];
  /** code of the parser error that ended the connection */
  readonly refused: string | undefined;
  /** the server ended the connection without an error */
  readonly ended: boolean;
}

export const NODE_METHODS: ReadonlySet<string> = new Set(METHODS);

/** A connection whose other end is this test. */
class Wire extends Duplex {
  written = '';
  override _read(): void {}
  override _write(chunk: Uint8Array, _: string, done: () => void): void {
    this.written += Buffer.from(chunk).toString('latin1');
    done();
  }
  override _final(done: () => void): void {
    done();
  }
}

/**
 * What node:http makes of these pieces, without the end of the stream.
 * @param headerLimit bytes
 */
export async function readWithNode(pieces: readonly Uint8Array[], headerLimit: number): Promise<NodeReading> {
  const requests: NodeRequest[] = [];
  let refused: string | undefined;
  let progress = 0;
  const options = { requireHostHeader: false, maxHeaderSize: headerLimit, keepAliveTimeout: 0, requestTimeout: 0 };
  const server = createServer(
    { ...options, headersTimeout: 0, connectionsCheckingInterval: 1e9 },
    (request, response) => {
      const chunks: Buffer[] = [];
      progress++;
      request.on('data', (chunk: Buffer) => chunks.push(chunk) > 0 && progress++);
      request.on('end', () => {
        requests.push(requestOf(request, Buffer.concat(chunks)));
        progress++;
        response.end();
      });
    },
  );
  server.on('clientError', (failure: NodeJS.ErrnoException, socket) => {
    refused ??= failure.code ?? failure.message;
    socket.destroy();
  });
  const wire = new Wire({ allowHalfOpen: true });
  wire.on('error', () => {});
  server.emit('connection', wire);
  for (const piece of pieces) {
    if (piece.length === 0 || wire.destroyed) continue;
    wire.push(piece);
    // it works in turns of the event loop: it is done when several have passed without anything new
    for (let quiet = 0, seen = -1; quiet < 4; quiet++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (progress + wire.written.length !== seen) quiet = 0;
      seen = progress + wire.written.length;
    }
  }
  const ended = wire.writableEnded || wire.destroyed;
  wire.destroy();
  server.close();
  return { requests, refused, ended };
}

function requestOf({ method = '', url = '', rawHeaders }: IncomingMessage, body: Buffer): NodeRequest {
  const fields: [string, string][] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) fields.push([rawHeaders[i] ?? '', rawHeaders[i + 1] ?? '']);
  return { method, target: url, fields, body };
}
