/**
 * The prpc transport over HTTP (dstack RPC transport): chooses JSON or protobuf, decodes the request, calls the method,
 * encodes the answer. Failures carry the whole error chain. Pure: sockets are in src/http.
 */
import { EMPTY_BYTES } from '../../codec/bytes.ts';
import { asciiJson } from '../../codec/json-text.ts';
import { decodeJson, decodeQuery, encodeJson } from '../../codec/prpc-json.ts';
import type { Message, MessageName } from '../../codec/prpc-messages.ts';
import { type MethodShape, SERVICES, type ServiceName } from '../../codec/prpc-services.ts';
import { DstackError, type ErrorCode, errorChain } from '../../errors.ts';
import {
  errorHeaders,
  type HttpHandler,
  type HttpRequest,
  type HttpResponse,
  methodNotAllowed,
  notFound,
  RETRY_AFTER,
} from '../../http/http.ts';
import { logRequest, outcomeCode, type RequestOutcome } from './request-log.ts';

type Shapes<S extends ServiceName> = (typeof SERVICES)[S];

/** The methods of a service: typed from the table. A method left out answers as if it did not exist. */
export type Handlers<S extends ServiceName> = {
  readonly [M in keyof Shapes<S>]?: Shapes<S>[M] extends { request: infer Q; response: infer R }
    ? (request: Message<Extract<Q, MessageName>>) => Promise<Message<Extract<R, MessageName>>>
    : never;
};

export interface Mount {
  /** such as `/` or `/prpc/v1`: the method name is the one path segment behind it. Several serve the same */
  readonly base: string | readonly string[];
  /** removed from the method name as often as it repeats at the start, for example `Tappd.` */
  readonly strip?: string;
  /** decides before anything of the request is read. @throws RPC_METHOD_DENIED */
  readonly guard?: (method: string) => void;
  /** status for a method that the service does not have: 400 as the frozen interface has it, 404 in guest API v1 */
  readonly unknownMethod?: 400 | 404;
  /** is told how every request ended */
  readonly observe?: (outcome: RequestOutcome) => void;
}

/** HTTP methods of every RPC method. */
const METHODS = ['GET', 'HEAD', 'POST'];
const JSON_TYPE = 'application/json';
const PROTOBUF_TYPE = 'application/octet-stream';
const JSON_HEADERS = Object.freeze({ 'content-type': JSON_TYPE });
const PROTOBUF_HEADERS = Object.freeze({ 'content-type': PROTOBUF_TYPE });
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }); // JSON has no byte order mark (RFC 8259, section 8.1)

/** JSON mode: GET, or `?json[=1|true]`, or a JSON content type. */
function wantsJson(request: HttpRequest): boolean {
  const type = request.headers['content-type'];
  return type === JSON_TYPE || jsonByUrl(request) || /^\s*application\/json\s*(?:;|$)/i.test(type ?? '');
}

/** HEAD is GET whose response has no content (RFC 9110, section 9.3.2); the server leaves it out. */
const reads = ({ method }: HttpRequest): boolean => method === 'GET' || method === 'HEAD';

function jsonByUrl(request: HttpRequest): boolean {
  const { query } = request;
  if (reads(request)) return true;
  return query !== '' && query.split('&').some((part) => /^json(?:=(?:1|true)?)?$/.test(part));
}

const basesOf = ({ base }: Mount): readonly string[] => (typeof base === 'string' ? [base] : base);

/** The method name that a path asks for, or undefined when the path is not below the mount. */
export function methodName(mount: Mount, path: string): string | undefined {
  const base = path.slice(0, path.lastIndexOf('/'));
  if (base === '/' || !basesOf(mount).includes(base || '/')) return undefined; // `//name` is not `/name`
  let name = path.slice(base.length + 1);
  if (name === '') return undefined;
  if (name.includes('%')) {
    try {
      name = decodeURIComponent(name);
    } catch {
      return undefined;
    }
  }
  while (mount.strip !== undefined && name.startsWith(mount.strip)) name = name.slice(mount.strip.length);
  return name;
}

/** An HTTP handler that serves one service below a mount; other paths are 404. */
export function rpcHandler<S extends ServiceName>(service: S, handlers: Handlers<S>, mount: Mount): HttpHandler {
  const shapes: Record<string, MethodShape> = SERVICES[service];
  const methods = handlers as Record<string, ((request: unknown) => Promise<unknown>) | undefined>;
  let [lastPath, lastName]: [string, string | undefined] = ['', undefined];
  return async (request) => {
    if (request.path !== lastPath) [lastPath, lastName] = [request.path, methodName(mount, request.path)];
    const name = lastName;
    if (name === undefined) return notFound(request);
    if (!reads(request) && request.method !== 'POST') return methodNotAllowed(request, METHODS);
    let json = jsonByUrl(request); // a failure before dispatch knows the URL only
    const started = performance.now();
    const shape = Object.hasOwn(shapes, name) ? shapes[name] : undefined;
    const ended = (status: number, thrown?: unknown) => {
      const outcome: RequestOutcome = {
        service,
        method: shape === undefined ? 'unknown' : name,
        status,
        code: status === 200 ? 'ok' : outcomeCode(thrown),
        milliseconds: performance.now() - started,
        peer: request.peer ?? '',
      };
      mount.observe?.(outcome);
      logRequest(outcome, thrown);
    };
    try {
      const body = request.method === 'POST' ? request.body() : EMPTY_BYTES;
      json = wantsJson(request);
      if (shape !== undefined) mount.guard?.(name);
      if (!json && looksLikeJson(body)) {
        json = true; // so that whoever reads the answer can
        throw new DstackError(
          'RPC_REQUEST_INVALID',
          'the body looks like JSON, but the request does not say so: send content-type: application/json, or add ?json',
          { field: 'content-type', value: request.headers['content-type'] ?? '' },
        );
      }
      const method = shape && Object.hasOwn(methods, name) ? methods[name] : undefined;
      if (!shape || !method)
        throw new DstackError('RPC_METHOD_UNKNOWN', `Service not found: ${name}`, { field: 'method', value: name });
      const asked = json ? decodeText(shape.request, request, body) : await decodeBinary(shape.request, body);
      const answer = await method(asked);
      const response = json ? encodeText(shape.response, answer) : await encodeBinary(shape.response, answer);
      ended(200);
      return response;
    } catch (thrown) {
      const response = await failure(thrown, json, mount.unknownMethod);
      ended(response.status, thrown);
      return response;
    }
  };
}

/** A JSON object sent as something else, `curl -d` for one. No message begins so: it would be a group in field 15. */
const looksLikeJson = (body: Uint8Array): boolean => body[0] === 0x7b;

/** The library for protobuf is loaded when the first client wants it. */
async function decodeBinary(name: MessageName, body: Uint8Array): Promise<unknown> {
  return (await import('../../codec/prpc-protobuf.ts')).decodeProtobuf(name, body);
}

async function encodeBinary(name: MessageName, answer: unknown): Promise<HttpResponse> {
  const { encodeProtobuf } = await import('../../codec/prpc-protobuf.ts');
  return { status: 200, headers: PROTOBUF_HEADERS, body: encodeProtobuf(name, answer as Message<MessageName>) };
}

function decodeText(name: MessageName, request: HttpRequest, body: Uint8Array): unknown {
  if (reads(request)) return decodeQuery(name, request.query);
  let text: string;
  try {
    text = UTF8.decode(body);
  } catch {
    throw new DstackError('RPC_REQUEST_INVALID', 'the request body is not UTF-8 text', { field: 'body' });
  }
  return decodeJson(name, text);
}

function encodeText(name: MessageName, answer: unknown): HttpResponse {
  return { status: 200, headers: JSON_HEADERS, body: encodeJson(name, answer as Message<MessageName>) };
}

/** Logs what no service has seen, because it was not a request of HTTP. */
export function rpcMalformed(why: DstackError, status: number, peer = ''): void {
  logRequest({ service: 'none', method: 'unknown', status, code: why.code, milliseconds: 0, peer }, why);
}

/** Answers a request that the server has no place for. */
export async function rpcRefusal(request: HttpRequest, why: DstackError): Promise<HttpResponse> {
  const outcome = { service: 'none', method: 'unknown', status: 503, code: why.code, milliseconds: 0 };
  logRequest({ ...outcome, peer: request.peer ?? '' }, why);
  return failure(why, wantsJson(request));
}

/** What is not 400: a rule of the app, a busy agent, and what no other request to this image could get either. */
const STATUS: Partial<Record<ErrorCode, number>> = { RPC_METHOD_DENIED: 403, RPC_BUSY: 503, GPU_UNSUPPORTED: 501 };

/** A failure with its error chain: pretty JSON, or the protobuf message RpcError. */
async function failure(thrown: unknown, json: boolean, unknownMethod: 400 | 404 = 400): Promise<HttpResponse> {
  const code = outcomeCode(thrown);
  const status = code === 'RPC_METHOD_UNKNOWN' ? unknownMethod : (STATUS[code] ?? 400);
  const { field } = thrown instanceof DstackError ? thrown : {};
  const more = { ...errorHeaders({ code, field }), ...(code === 'RPC_BUSY' ? RETRY_AFTER : {}) };
  const text = errorChain(thrown);
  if (json) {
    const body = asciiJson(JSON.stringify({ error: text }, null, 2));
    return { status, headers: { ...JSON_HEADERS, ...more }, body };
  }
  const { encodeProtobuf } = await import('../../codec/prpc-protobuf.ts');
  return { status, headers: { ...PROTOBUF_HEADERS, ...more }, body: encodeProtobuf('RpcError', { message: text }) };
}
