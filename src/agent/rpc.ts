/**
 * The prpc transport over HTTP (dstack RPC transport): chooses JSON or protobuf, decodes the request, calls the method,
 * encodes the answer. Failures are status 400 with the whole error chain. Pure: sockets are in http-server.ts.
 */
import { asciiJson, decodeJson, decodeQuery, encodeJson } from '../codec/prpc-json.ts';
import type { Message, MessageName } from '../codec/prpc-messages.ts';
import { type MethodShape, SERVICES, type ServiceName } from '../codec/prpc-services.ts';
import { DstackError, errorChain } from '../errors.ts';
import * as ui from '../ui.ts';
import { type HttpHandler, type HttpRequest, type HttpResponse, notFound } from './http.ts';

type Shapes<S extends ServiceName> = (typeof SERVICES)[S];

/** The methods of a service: typed from the table. A method left out answers as if it did not exist. */
export type Handlers<S extends ServiceName> = {
  readonly [M in keyof Shapes<S>]?: Shapes<S>[M] extends { request: infer Q; response: infer R }
    ? (request: Message<Extract<Q, MessageName>>) => Promise<Message<Extract<R, MessageName>>>
    : never;
};

export interface Mount {
  /** `/` or `/prpc`: the method name is the one path segment behind it */
  readonly base: string;
  /** removed from the method name as often as it repeats at the start, for example `Tappd.` */
  readonly strip?: string;
}

const JSON_TYPE = 'application/json';
const PROTOBUF_TYPE = 'application/octet-stream';

/** JSON mode: GET, or `?json[=1|true]`, or a JSON content type. */
function wantsJson(request: HttpRequest): boolean {
  return jsonByUrl(request) || /^\s*application\/json\s*(?:;|$)/i.test(request.headers['content-type'] ?? '');
}

function jsonByUrl({ method, query }: HttpRequest): boolean {
  if (method === 'GET') return true;
  return query.split('&').some((part) => /^json(?:=(?:1|true)?)?$/.test(part));
}

/** The method name that a path asks for, or undefined when the path is not below the mount. */
export function methodName(mount: Mount, path: string): string | undefined {
  const prefix = mount.base === '/' ? '/' : `${mount.base}/`;
  if (!path.startsWith(prefix)) return undefined;
  let name = path.slice(prefix.length);
  if (name === '' || name.includes('/')) return undefined;
  try {
    name = decodeURIComponent(name);
  } catch {
    return undefined;
  }
  while (mount.strip !== undefined && name.startsWith(mount.strip)) name = name.slice(mount.strip.length);
  return name;
}

/** An HTTP handler that serves one service below a mount; other paths are 404. */
export function rpcHandler<S extends ServiceName>(service: S, handlers: Handlers<S>, mount: Mount): HttpHandler {
  const shapes: Record<string, MethodShape> = SERVICES[service];
  const methods = handlers as Record<string, ((request: unknown) => Promise<unknown>) | undefined>;
  return async (request) => {
    const name = methodName(mount, request.path);
    if (name === undefined || (request.method !== 'GET' && request.method !== 'POST')) return notFound(request);
    let json = jsonByUrl(request); // a failure before dispatch knows the URL only
    const started = performance.now();
    try {
      const body = request.method === 'POST' ? await request.body() : new Uint8Array(0);
      json = wantsJson(request);
      const shape = Object.hasOwn(shapes, name) ? shapes[name] : undefined;
      const method = shape && Object.hasOwn(methods, name) ? methods[name] : undefined;
      if (!shape || !method) throw new DstackError('RPC_METHOD_UNKNOWN', `Service not found: ${name}`, { value: name });
      const answer = await method(await decode(shape.request, request, body, json));
      const response = await encode(shape.response, answer, json);
      ui.debug(`${service}.${name} done, ${ui.duration(performance.now() - started)}`);
      return response;
    } catch (thrown) {
      const text = errorChain(thrown);
      const code = thrown instanceof DstackError ? thrown.code : 'INTERNAL';
      ui.log(code === 'RPC_METHOD_UNKNOWN' ? 'debug' : 'warn', `${service}.${name} failed [${code}]: ${text}`);
      return failure(text, json);
    }
  };
}

async function decode(name: MessageName, request: HttpRequest, body: Uint8Array, json: boolean): Promise<unknown> {
  if (request.method === 'GET') return decodeQuery(name, request.query);
  if (!json) return (await import('../codec/prpc-protobuf.ts')).decodeProtobuf(name, body);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new DstackError('RPC_REQUEST_INVALID', 'the request body is not UTF-8 text');
  }
  return decodeJson(name, text);
}

async function encode(name: MessageName, answer: unknown, json: boolean): Promise<HttpResponse> {
  const message = answer as Message<MessageName>;
  const body = json
    ? new TextEncoder().encode(encodeJson(name, message))
    : (await import('../codec/prpc-protobuf.ts')).encodeProtobuf(name, message);
  return { status: 200, headers: { 'content-type': json ? JSON_TYPE : PROTOBUF_TYPE }, body };
}

/** Status 400 with the error chain: pretty JSON, or the protobuf message RpcError. */
async function failure(text: string, json: boolean): Promise<HttpResponse> {
  if (json) {
    const body = new TextEncoder().encode(asciiJson(JSON.stringify({ error: text }, null, 2)));
    return { status: 400, headers: { 'content-type': JSON_TYPE }, body };
  }
  const { encodeProtobuf } = await import('../codec/prpc-protobuf.ts');
  const body = encodeProtobuf('RpcError', { message: text });
  return { status: 400, headers: { 'content-type': PROTOBUF_TYPE }, body };
}
