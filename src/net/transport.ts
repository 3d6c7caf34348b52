/**
 * Where a prpc service is reached: `http(s)://host[:port]/base`, `unix:<path>` and `vsock://<cid>:<port>/base` (services,
 * host API client). Parsing is separate from connecting, so that a bad address is refused before anything is sent.
 * Calls go one way: prpc-client.ts asks for a connection here, and only this file asks tls.ts.
 */
import type { RequestOptions } from 'node:http';
import { Socket } from 'node:net';
import { DstackError } from '../errors.ts';
import { native } from '../sys/native.ts';
import type { TlsRules } from './tls.ts';

export type Endpoint =
  | { readonly kind: 'http'; readonly host: string; readonly port: number; readonly base: string }
  | { readonly kind: 'https'; readonly host: string; readonly port: number; readonly base: string }
  | { readonly kind: 'unix'; readonly path: string; readonly base: string }
  | { readonly kind: 'vsock'; readonly cid: number; readonly port: number; readonly base: string };

const U32_MAX = 0xffffffff;

function invalid(url: string, why: string): DstackError {
  return new DstackError('CONFIG_INVALID', `address ${JSON.stringify(url.slice(0, 120))} is not usable: ${why}`, {
    field: 'url',
    value: url,
    hint: 'use vsock://<cid>:<port>/api, http://<host>:<port>/api or unix:<path>',
  });
}

/**
 * Parses a service address. The base has no trailing slash.
 * @param tls whether https is possible: only a caller with rules for the peer's certificate may ask for it
 * @throws CONFIG_INVALID with the address and the reason
 */
export function parseEndpoint(url: string, tls = false): Endpoint {
  const text = url.trim();
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length).replace(/^\/\/(?=\/)/, '');
    if (!path.startsWith('/')) throw invalid(url, 'the path of a unix socket must be absolute');
    return { kind: 'unix', path, base: '' };
  }
  const vsock = /^vsock:\/\/(\d{1,10}):(\d{1,10})(\/[^?#\s]*)?$/.exec(text);
  if (vsock) {
    const [cid, port] = [Number(vsock[1]), Number(vsock[2])];
    if (cid > U32_MAX || port > U32_MAX) throw invalid(url, 'cid and port are 32-bit numbers');
    return { kind: 'vsock', cid, port, base: withoutSlash(vsock[3] ?? '') };
  }
  let parsed: URL;
  try {
    parsed = new URL(text);
  } catch {
    throw invalid(url, 'it is not a URL');
  }
  const scheme = parsed.protocol.replace(/:$/, '');
  if (scheme !== 'http' && !(scheme === 'https' && tls)) throw invalid(url, `scheme ${scheme} is not supported`);
  if (parsed.username || parsed.password) throw invalid(url, 'credentials are not allowed');
  if (parsed.search || parsed.hash) throw invalid(url, 'query and fragment are not allowed');
  const host = parsed.hostname.replace(/^\[|\]$/g, '');
  const base = withoutSlash(parsed.pathname);
  if (scheme === 'https') return { kind: 'https', host, port: Number(parsed.port || 443), base };
  return { kind: 'http', host, port: Number(parsed.port || 80), base };
}

const withoutSlash = (path: string): string => path.replace(/\/+$/, '');

/** The value of the Host header; sockets without a name say localhost. */
export function hostHeader(endpoint: Endpoint): string {
  if (endpoint.kind !== 'http' && endpoint.kind !== 'https') return 'localhost';
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  return endpoint.port === (endpoint.kind === 'http' ? 80 : 443) ? host : `${host}:${endpoint.port}`;
}

export interface Connection {
  /** the part of a request's options that leads it to the endpoint, with its Host header */
  readonly options: RequestOptions;
  /** ends the connection, if one was opened before the request */
  close(): void;
}

/**
 * How a request reaches the endpoint; vsock and https are connected, and the peer of https is judged, before this answers.
 * @param timeoutMs limit of a vsock connection in milliseconds; one of https has that of its rules
 * @throws what `connectTls` and `connectVsock` throw
 */
export async function connectEndpoint(
  endpoint: Endpoint,
  {
    tls,
    signal,
    timeoutMs,
  }: { readonly tls: TlsRules | undefined; readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<Connection> {
  const socket = await openSocket(endpoint, tls, signal, timeoutMs);
  const options: RequestOptions = {
    headers: { host: hostHeader(endpoint) },
    ...(endpoint.kind === 'http' ? { host: endpoint.host, port: endpoint.port } : {}),
    ...(endpoint.kind === 'unix' ? { socketPath: endpoint.path } : {}),
    // Bun ignores createConnection beside an agent, also beside `false`
    ...(socket === undefined ? { agent: false } : { createConnection: () => socket }),
  };
  return { options, close: () => socket?.destroy() };
}

async function openSocket(
  endpoint: Endpoint,
  tls: TlsRules | undefined,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<Socket | undefined> {
  if (endpoint.kind === 'vsock') return connectVsock(endpoint.cid, endpoint.port, timeoutMs);
  if (endpoint.kind !== 'https' || tls === undefined) return undefined;
  return (await import('./tls.ts')).connectTls(endpoint, tls, signal); // most processes need no TLS
}

/** A connected vsock stream as a Node socket. Throws the errno of connect(2). */
export async function connectVsock(cid: number, port: number, timeoutMs: number): Promise<Socket> {
  const fd = await (await native()).vsockConnect(cid, port, timeoutMs);
  const socket = new Socket();
  // `fd` is the way to adopt an open descriptor; the type declarations only know it for the constructor
  (socket.connect as unknown as (options: { fd: number }) => Socket).call(socket, { fd });
  return socket;
}
