/** A hand-written HTTP client: sends exactly these bytes, at these times, and shows exactly what came back. */
import * as net from 'node:net';

export interface RawAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
  readonly raw: string;
}

/** Opens a connection to a unix path or a TCP port. */
export function connect(target: string | number): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket =
      typeof target === 'string'
        ? net.connect({ path: target, allowHalfOpen: true })
        : net.connect({ port: target, host: '127.0.0.1', allowHalfOpen: true });
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}

/** Everything until the other side closes. */
export function untilClose(socket: net.Socket): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk as Buffer));
    const done = () => {
      socket.destroy();
      resolve(Buffer.concat(chunks).toString('latin1'));
    };
    socket.on('end', done);
    socket.on('close', done);
    socket.on('error', done);
  });
}

export function parseAnswer(raw: string): RawAnswer {
  const at = raw.indexOf('\r\n\r\n');
  const [line = '', ...fields] = raw.slice(0, at).split('\r\n');
  const headers = Object.fromEntries(
    fields.map((field) => [
      field.slice(0, field.indexOf(':')).toLowerCase(),
      field.slice(field.indexOf(':') + 1).trim(),
    ]),
  );
  return { status: Number(line.split(' ')[1]), headers, body: raw.slice(at + 4), raw };
}

/** One request on a connection of its own, `Connection: close`. */
export async function ask(
  target: string | number,
  method: string,
  path: string,
  body?: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<RawAnswer> {
  const socket = await connect(target);
  const bytes = body === undefined ? undefined : Buffer.from(body);
  const lines = [
    `${method} ${path} HTTP/1.1`,
    'Host: dstack',
    'Connection: close',
    ...Object.entries(headers).map(([key, value]) => `${key}: ${value}`),
    ...(bytes === undefined ? [] : [`Content-Length: ${bytes.length}`]),
  ];
  const answer = untilClose(socket);
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  if (bytes !== undefined) socket.write(bytes);
  return parseAnswer(await answer);
}

/** POST with a JSON body. */
export const askJson = (target: string | number, path: string, body: unknown = {}): Promise<RawAnswer> =>
  ask(target, 'POST', path, JSON.stringify(body), { 'Content-Type': 'application/json' });
