/**
 * The requests that the official SDKs for Python (0.5.4), Go, JavaScript and Rust sent, byte for byte, as data: taken apart
 * here by the simplest means, not by the reader that the tests are about.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Recorded {
  /** `python/dstack/01-POST-_GetKey` */
  readonly name: string;
  /** the socket that it was sent to */
  readonly socket: 'dstack' | 'tappd';
  /** `GetKey`, `Tappd.TdxQuote` */
  readonly method: string;
  readonly bytes: Buffer;
  /** the lines before the empty one, without their ends */
  readonly head: readonly string[];
  /** the JSON body as text, and what it says */
  readonly body: string;
  readonly request: Readonly<Record<string, unknown>>;
}

const ROOT = join(import.meta.dirname, '../http/clients');

function read(file: string): Recorded {
  const bytes = readFileSync(join(ROOT, file));
  const text = bytes.toString('latin1');
  const at = text.indexOf('\r\n\r\n');
  const head = text.slice(0, at).split('\r\n');
  const body = text.slice(at + 4);
  return {
    name: file.replace('.bin', ''),
    socket: file.split('/')[1] as Recorded['socket'],
    method: /\/([A-Za-z.]+) HTTP\/1\.1$/.exec(head[0] ?? '')?.[1] ?? '',
    bytes,
    head,
    body,
    request: JSON.parse(body),
  };
}

export const RECORDED: readonly Recorded[] = readdirSync(ROOT, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.bin'))
  .toSorted()
  .map(read);

/** One request with another body, and the length that goes with it. */
export function withBody(recorded: Recorded, body: string): Buffer {
  const head = recorded.head.map((line) =>
    line.replace(/^(content-length): .*/i, (_, name) => `${name}: ${Buffer.byteLength(body)}`),
  );
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), Buffer.from(body)]);
}
