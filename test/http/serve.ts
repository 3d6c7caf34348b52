/** One server of src/http on a unix socket of its own and on a TCP port, for tests. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HttpServer, type HttpServerOptions } from '../../src/http/http.ts';

export interface Served {
  readonly http: HttpServer;
  readonly path: string;
  readonly port: number;
  /** bytes that the server has read of all connections so far */
  bytesRead(): number;
  close(): Promise<void>;
}

/** Listens as the agent does: half-open, so that a client may end its side before it has the response. */
export async function serveHttp(options: HttpServerOptions): Promise<Served> {
  const dir = mkdtempSync(join(tmpdir(), 'dstack-http-'));
  const path = join(dir, 'http.sock');
  const http = new HttpServer(options);
  const sockets: net.Socket[] = [];
  const accept = (socket: net.Socket) => {
    sockets.push(socket);
    http.accept(socket);
  };
  const listen = async (where: net.ListenOptions) => {
    const server = net.createServer({ allowHalfOpen: true }, accept).listen(where);
    await once(server, 'listening');
    return server;
  };
  const servers = [await listen({ path }), await listen({ host: '127.0.0.1', port: 0 })] as const;
  return {
    http,
    path,
    port: (servers[1].address() as net.AddressInfo).port,
    bytesRead: () => sockets.reduce((sum, { bytesRead }) => sum + bytesRead, 0),
    async close() {
      for (const server of servers) server.close();
      await http.close(0);
      rmSync(dir, { recursive: true });
    },
  };
}

/** A handler's gate: everybody waits in front of it until it is opened. */
export function gate(): { readonly passed: Promise<void>; open(): void } {
  let open = () => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}
