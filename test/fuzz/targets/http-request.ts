/**
 * Connections of the agent: requests one after the other, cut at any byte. Cut or whole they must be the same requests, and
 * node:http, which reads with another parser, must not read other ones: what only one of both accepts has its reason here.
 */
import { BodyMemory } from '../../../src/http/memory.ts';
import { type RequestEvent, RequestReader } from '../../../src/http/reader.ts';
import { NODE_METHODS, type NodeRequest, readWithNode } from '../../http/node-server.ts';
import { Random } from '../mutate.ts';
import { type FuzzTarget, same } from '../target.ts';

const LIMITS = { header: 4096, body: 16_384 };
const MEMORY = 65_536;

interface Read {
  readonly requests: readonly Extract<RequestEvent, { kind: 'request' }>[];
  /** why no more are read */
  readonly refused: string | undefined;
  /** where each request ends in the input, when it came in one piece */
  readonly ends: readonly number[];
}

/** Reads until a request ends the connection, as connection.ts does. */
function read(pieces: readonly Uint8Array[]): Read {
  const memory = new BodyMemory(MEMORY);
  const reader = new RequestReader(LIMITS, memory);
  const requests: Extract<RequestEvent, { kind: 'request' }>[] = [];
  const ends: number[] = [];
  let refused: string | undefined;
  let ended = false;
  for (const piece of pieces) {
    if (!ended) reader.push(Buffer.from(piece));
    while (!ended) {
      const event = reader.next();
      if (event === undefined) break;
      if (event.kind === 'malformed' || event.kind === 'refused') refused = event.error.message;
      if (event.kind !== 'request') continue;
      event.reservation?.release();
      requests.push(event);
      ends.push((pieces[0]?.length ?? 0) - reader.buffered);
      ended = event.head.close;
    }
  }
  reader.end();
  same('memory that is still reserved', memory.held, 0);
  return { requests, refused, ends };
}

/** The same bytes in pieces of random sizes. */
function pieces(input: Uint8Array): Uint8Array[] {
  const random = new Random(input.reduce((sum, byte) => (sum * 31 + byte) >>> 0, input.length));
  const out: Uint8Array[] = [];
  for (let at = 0; at < input.length; ) {
    const size = 1 + random.below(random.below(3) === 0 ? 3 : 200);
    out.push(input.subarray(at, at + size));
    at += size;
  }
  return out;
}

const plain = ({ requests, refused }: Read) => ({
  requests: requests.map(({ head, body }) => ({ ...head, body: Buffer.from(body).toString('hex') })),
  refused,
});

type Request = Read['requests'][number];

/** What we take that node:http does not. */
function nodeIsStricter({ head }: Request, before: Request | undefined, refused: string | undefined): boolean {
  if (!NODE_METHODS.has(head.method)) return true; // a list of methods; ours go to the service, which answers 404
  // node:http obeys Connection in a trailer, where it has no meaning (RFC 9110, section 6.5.1)
  return refused === 'HPE_CLOSED_CONNECTION' && before?.head.framing.kind === 'chunked';
}

/** The same request, as the fields of its definition: lists joined, single values once. */
function sameRequest({ head, body }: Request, theirs: NodeRequest): void {
  same('method', head.method, theirs.method);
  const target = theirs.target.replace(/^https?:\/\/[^/?#]*/i, '');
  same('target', head.query === '' ? head.path : `${head.path}?${head.query}`, target.replace(/\?$/, '') || '/');
  same('body', Buffer.from(body).toString('hex'), theirs.body.toString('hex'));
  const values = new Map<string, string[]>();
  for (const [name, value] of theirs.fields) {
    const key = name.toLowerCase();
    values.set(key, [...(values.get(key) ?? []), value]);
  }
  same('names of fields', Object.keys(head.headers), [...values.keys()]);
  for (const [name, list] of values) {
    const joined = list.join(name === 'cookie' ? '; ' : ', ');
    const ours = head.headers[name];
    if (ours !== joined && !list.every((value) => value === ours)) same(`field ${name}`, ours, joined);
  }
}

const target: FuzzTarget = {
  limit: 8192,
  dictionary: [
    '\r\n',
    '\r\n\r\n',
    '\n',
    '\r',
    ' ',
    ': ',
    ',',
    ' HTTP/1.1\r\n',
    ' HTTP/1.0\r\n',
    'GET / HTTP/1.1\r\n',
    'POST /GetKey?json HTTP/1.1\r\n',
    'HEAD ',
    'http://dstack',
    'Host: a\r\n',
    'Content-Length: 5\r\n',
    'Content-Length: 0\r\n',
    'Content-Length: ',
    'Transfer-Encoding: chunked\r\n',
    'Transfer-Encoding: ',
    'Connection: close\r\n',
    'Connection: keep-alive\r\n',
    'Connection: upgrade\r\nUpgrade: x\r\n',
    'Expect: 100-continue\r\n',
    'Content-Type: application/json\r\n',
    'Cookie: a=b\r\n',
    '5\r\nabcde\r\n',
    '0\r\n\r\n',
    ';a=b',
    ';a="b"',
    'X: y\r\n',
    '\t',
    '\0',
    '\u0080',
  ].map((word) => Buffer.from(word, 'latin1')),
  async run(input) {
    const whole = read([input]);
    same('cut in pieces', plain(read(pieces(input))), plain(whole));
    // in requests as we read them, so that an error in one does not hide those in front of it
    const parts = [0, ...whole.ends].map((from, i) => input.subarray(from, whole.ends[i]));
    const theirs = await readWithNode(parts, LIMITS.header);
    for (const [index, request] of whole.requests.entries()) {
      const other = theirs.requests[index];
      if (other !== undefined) sameRequest(request, other);
      else if (nodeIsStricter(request, whole.requests[index - 1], theirs.refused)) return;
      else throw new Error(`only we read request ${index}, node:http: ${theirs.refused ?? 'waits'}`);
    }
    if (
      theirs.requests.length > whole.requests.length &&
      !whole.requests.at(-1)?.head.close &&
      whole.refused === undefined
    )
      throw new Error('only node:http reads one more request');
  },
};
export default target;
