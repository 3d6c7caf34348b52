/**
 * The VMM's host API, as a guest sees it: Info, Notify, GetSealingKey (host API client, prpc transport).
 *
 * Rules kept from the real service: JSON requests below a base path, a payload longer than 4096 bytes is ignored, the
 * last events are kept in a ring, `shutdown.progress` = `powering off` marks the VM as stopped and the payload of
 * `instance.info` is what the next boot finds as `.instance_info`. The real service knows its VM by the vsock address;
 * here one service belongs to one VM. A sealing key needs an SGX enclave, so asking for one is refused.
 */
import { EventEmitter } from 'node:events';
import { rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Command } from 'commander';
import type { HostEvent } from './host-event.ts';

/** A longer payload is ignored by the VMM. */
export const PAYLOAD_LIMIT = 4096;
const BODY_LIMIT = 64 * 1024;

export interface HostApiOptions {
  /** events kept, default 256 */
  readonly ring?: number;
  /** base path of the methods, default `/api` */
  readonly base?: string;
  /** what Info answers */
  readonly name?: string;
  readonly version?: string;
}

class Refused extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** One host API service for one VM. Emits `event` with a HostEvent for each accepted notification. */
export class HostApi extends EventEmitter<{ event: [HostEvent] }> {
  readonly #options: Required<HostApiOptions>;
  readonly #events: HostEvent[] = [];
  #server: Server | undefined;
  #sequence = 0;
  #stopped = false;
  #instanceInfo: string | undefined;

  constructor(options: HostApiOptions = {}) {
    super();
    this.#options = { ring: 256, base: '/api', name: 'dstack-sim', version: '0.0.0', ...options };
  }

  /** the last events, oldest first */
  get events(): readonly HostEvent[] {
    return this.#events;
  }

  /** whether the guest said that it powers off */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** the last `instance.info`, to be stored as `.instance_info` for the next boot */
  get instanceInfo(): string | undefined {
    return this.#instanceInfo;
  }

  /** Accepts a notification as the VMM does. */
  notify(event: string, payload: string): void {
    if (Buffer.byteLength(payload) > PAYLOAD_LIMIT) return;
    if (event === 'shutdown.progress' && payload === 'powering off') this.#stopped = true;
    if (event === 'instance.info') this.#instanceInfo = payload;
    const record: HostEvent = { sequence: ++this.#sequence, at: Date.now(), event, payload };
    this.#events.push(record);
    if (this.#events.length > this.#options.ring) this.#events.shift();
    this.emit('event', record);
  }

  /** Listens on a unix socket (an existing socket file is replaced) or on a TCP address. */
  async listen(where: { path: string } | { host: string; port: number }): Promise<{ port: number | undefined }> {
    if ('path' in where) await rm(where.path, { force: true });
    const server = createServer((request, response) => void this.#serve(request, response));
    server.requestTimeout = 30_000;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(where, resolve);
    });
    this.#server = server;
    const address = server.address();
    return { port: typeof address === 'object' && address !== null ? address.port : undefined };
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let status = 200;
    let text: string;
    try {
      text = JSON.stringify(this.#answer(request, await readBody(request)));
    } catch (thrown) {
      status = thrown instanceof Refused ? thrown.status : 400;
      text = JSON.stringify({ error: thrown instanceof Error ? thrown.message : String(thrown) }, null, 2);
    }
    response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
    response.end(text);
  }

  #answer(request: IncomingMessage, body: string): unknown {
    const url = new URL(request.url ?? '/', 'http://host');
    const prefix = `${this.#options.base}/`;
    if (!url.pathname.startsWith(prefix)) throw new Refused(404, `no such path: ${url.pathname}`);
    if (request.method !== 'POST' && request.method !== 'GET') throw new Refused(405, 'use GET or POST');
    const json = url.searchParams.has('json') || /^application\/json\b/.test(request.headers['content-type'] ?? '');
    if (request.method === 'POST' && !json) throw new Refused(400, 'only JSON requests are served here: add ?json');
    const method = url.pathname.slice(prefix.length);
    switch (method) {
      case 'Info':
        return { name: this.#options.name, version: this.#options.version };
      case 'Notify': {
        const { event, payload } = readNotification(request.method === 'GET' ? url.searchParams : body);
        this.notify(event, payload);
        return null;
      }
      case 'GetSealingKey':
        throw new Refused(400, 'no sealing key provider: a simulated host has no SGX enclave');
      default:
        throw new Refused(400, `Service not found: ${method}`);
    }
  }
}

function readNotification(source: string | URLSearchParams): { event: string; payload: string } {
  const message: unknown =
    typeof source === 'string' ? JSON.parse(source === '' ? '{}' : source) : Object.fromEntries(source);
  if (typeof message !== 'object' || message === null || Array.isArray(message)) {
    throw new Refused(400, 'the message must be a JSON object');
  }
  const { event = '', payload = '' } = message as Record<string, unknown>;
  for (const [field, value] of Object.entries({ event, payload })) {
    if (typeof value !== 'string') throw new Refused(400, `field ${field} must be a string`);
  }
  return { event: event as string, payload: payload as string };
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > BODY_LIMIT) throw new Refused(400, 'failed to read data: payload too large');
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** `dstack-sim host-api`: serves until it is told to stop and prints each event as one line of JSON. */
export function defineHostApi(command: Command): void {
  command
    .description('serve the host API of a VMM and print what a guest reports')
    .option('--socket <path>', 'listen on this unix socket')
    .option('--listen <host:port>', 'listen on this TCP address', '127.0.0.1:8089')
    .option('--base <path>', 'base path of the methods', '/api')
    .option('--view', 'show the boot for a person instead of one line of JSON an event')
    .action(async (options: { socket?: string; listen: string; base: string; view?: boolean }) => {
      const api = new HostApi({ base: options.base.replace(/\/$/, '') });
      const view = options.view ? (await import('./host-view.ts')).showEvents(process.stdout) : undefined;
      api.on('event', (record) => {
        if (view) view.event(record);
        else process.stdout.write(`${JSON.stringify(record)}\n`);
      });
      const colon = options.listen.lastIndexOf(':');
      const host = options.listen.slice(0, colon).replace(/^\[|\]$/g, '');
      const { port } = await api.listen(
        options.socket ? { path: options.socket } : { host, port: Number(options.listen.slice(colon + 1)) },
      );
      process.stderr.write(`host API on ${options.socket ?? `http://${host}:${port}${options.base}`}\n`);
      await new Promise<void>((resolve) => {
        for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
      });
      view?.end();
      await api.close();
      if (options.socket) await rm(options.socket, { force: true });
    });
}
