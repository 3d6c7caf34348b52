/**
 * The process behind the agent's docker socket. The service manager holds the socket and starts this process for the first
 * question; it ends by itself when nobody has asked for a while, so it costs no memory at rest. What waits in the queue of
 * the socket by then starts the next one.
 */
import { DstackError } from '../../errors.ts';
import { HttpServer } from '../../http/http.ts';
import * as ui from '../../ui.ts';
import { inheritedSockets } from '../listen/activation.ts';
import { bind } from '../listen/bind.ts';
import { dockerView } from './handler.ts';

export interface DockerViewServeOptions {
  /** docker's own socket */
  readonly dockerSocket: string;
  /** ends after so many milliseconds without a connection */
  readonly idleMs: number;
}

const LOOK_EVERY_MS = 500;
/** from a docker that cannot be reached to the end, however many ask: not more starts than one a second */
const UNREACHABLE_MS = 1000;
/** how long answers may take that are under way at the end, milliseconds */
const GRACE_MS = 2000;
/** the agent holds at most 64 logs and asks for the details of 8 containers at once */
const CONNECTIONS = 128;

/**
 * Serves the socket that was handed over until it is idle, or until SIGTERM. A docker that cannot be reached ends it after a
 * second: the next process sees a socket file that docker may have made again.
 * @throws LISTENER_FAILED without a socket of a socket unit
 */
export async function serveDockerView({ dockerSocket, idleMs }: DockerViewServeOptions): Promise<void> {
  const [socket] = (await inheritedSockets()).activated;
  if (socket === undefined) {
    throw new DstackError('LISTENER_FAILED', 'no socket was handed over', {
      hint: 'start dstack-docker-view.socket: the first request starts the process',
    });
  }
  let endAt = Number.POSITIVE_INFINITY;
  const http = new HttpServer({
    handler: dockerView({
      dockerSocket,
      onUnreachable: () => {
        endAt = Math.min(endAt, performance.now() + UNREACHABLE_MS);
      },
    }),
    headers: { server: 'dstack-docker-view' },
    limits: { body: 0, connections: CONNECTIONS },
  });
  const failed = Promise.withResolvers<never>();
  const bound = await bind({
    name: 'docker-view',
    address: { kind: 'unix', path: socket.path, reuse: false },
    activated: socket,
    onConnection: (connection) => http.accept(connection),
    onFailure: failed.reject,
  });
  try {
    await Promise.race([failed.promise, untilIdle(http, idleMs, () => endAt)]);
  } finally {
    await bound.close();
    await http.close(GRACE_MS);
  }
  ui.debug('nobody asks: ending');
}

/** Resolves when there has been no connection for long enough, when it is time to end, or when a signal asks for it. */
function untilIdle(http: HttpServer, idleMs: number, endAt: () => number): Promise<void> {
  return new Promise((resolve) => {
    let accepted = -1;
    let since = performance.now();
    const timer = setInterval(() => {
      const { counts } = http;
      if (counts.open > 0 || counts.accepted !== accepted) since = performance.now();
      accepted = counts.accepted;
      const now = performance.now();
      if (now - since >= idleMs || now >= endAt()) end();
    }, LOOK_EVERY_MS);
    const end = () => {
      clearInterval(timer);
      for (const name of ['SIGTERM', 'SIGINT'] as const) process.removeListener(name, end);
      resolve();
    };
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, end);
  });
}
