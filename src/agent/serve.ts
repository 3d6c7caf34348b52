/**
 * The guest agent: four listeners, one process. The internal ones serve the app, the external one everybody, the vsock one
 * the host. A listener that fails is tried again and does not take the others down.
 */
import { type AgentConfig, type Listener as ListenerConfig, loadAgentConfig } from '../config/agent-config.ts';
import { DstackError, errorChain } from '../errors.ts';
import { notifyHost } from '../net/host-api.ts';
import { sdNotify } from '../sys/notify.ts';
import { detectPlatform } from '../tdx/platform.ts';
import * as ui from '../ui.ts';
import { VERSION_TEXT } from '../version.ts';
import { type InheritedSocket, inheritedSockets } from './activation.ts';
import { parseAddress } from './address.ts';
import { externalHandler } from './external.ts';
import { guestApi } from './guest-api.ts';
import { guestService } from './guest-service.ts';
import type { HttpHandler } from './http.ts';
import { HttpServer } from './http-server.ts';
import { Listener } from './listener.ts';
import { peerNamer } from './peer.ts';
import type { Readiness } from './readiness.ts';
import { rpcHandler } from './rpc.ts';
import { type AgentState, loadState } from './state.ts';
import { tappdService } from './tappd-service.ts';
import { selfCheck, startWatchdog, tellReady, watchdogPeriod } from './watchdog.ts';

export interface ServeOptions {
  readonly configFile?: string | undefined;
  /** send signs of life when the service manager asks for them */
  readonly watchdog?: boolean;
  /** ends the agent; default: SIGTERM and SIGINT */
  readonly signal?: AbortSignal;
}

/** A running agent. */
export interface Agent {
  readonly state: AgentState;
  readonly listeners: readonly Listener[];
  readiness(): Readiness;
  stop(): Promise<void>;
}

const GRACE_MS = 5000;

/** Starts all listeners. @throws when a document, the keys or the backend cannot be used */
export async function startAgent(
  config: AgentConfig,
  sockets: readonly (InheritedSocket | undefined)[] = [],
): Promise<Agent> {
  const state = await loadState(config);
  const started = Date.now();
  const servers: HttpServer[] = [];
  const listeners: Listener[] = [];
  const readiness = (): Readiness => {
    const all = listeners.map((listener) => listener.status());
    const internal = all.filter(({ name }) => name.startsWith('internal'));
    return {
      ready: internal.every((listener) => listener.state === 'listening'),
      evidence: state.backend.kind,
      uptimeSeconds: Math.floor((Date.now() - started) / 1000),
      listeners: all,
    };
  };
  const namers = { unix: await peerNamer('unix'), tcp: await peerNamer('tcp'), vsock: await peerNamer('vsock') };
  const add = (name: string, profile: ListenerConfig, handler: HttpHandler, inherited?: InheritedSocket) => {
    const address = parseAddress(name, profile);
    const http = new HttpServer({
      handler,
      headers: { server: profile.ident },
      limits: { idle: profile.keepAlive * 1000 },
      peerOf: namers[inherited === undefined ? address.kind : 'unix'],
    });
    servers.push(http);
    listeners.push(new Listener({ name, address, inherited, http }));
  };
  const notify = async (event: string, payload: string): Promise<void> => {
    try {
      await notifyHost(state.hostApiUrl, event, payload, { platform: detectPlatform() });
    } catch (thrown) {
      ui.warn(`the host was not told ${event}: ${errorChain(thrown)}`);
    }
  };
  const { observe } = state.stats;
  add('internal', config.internal, rpcHandler('DstackGuest', guestService(state), { base: '/', observe }), sockets[0]);
  const tappd = rpcHandler('Tappd', tappdService(state), { base: '/prpc', strip: 'Tappd.', observe });
  add('internal-v0', config.internalV0, tappd, sockets[1]);
  add('external', config.external, externalHandler(state, readiness));
  add('guest-api', config.guestApi, rpcHandler('GuestApi', guestApi(state, { notify }), { base: '/api', observe }));
  await Promise.all(listeners.map((listener) => listener.start()));
  void state.demo.issue();
  return {
    state,
    listeners,
    readiness,
    async stop() {
      await Promise.all([
        ...listeners.map((listener) => listener.stop()),
        ...servers.map((server) => server.close(GRACE_MS)),
      ]);
      state.keyCache.clear();
    },
  };
}

/** Serves until SIGTERM or SIGINT, or until the signal of the options. */
export async function serve(options: ServeOptions = {}): Promise<void> {
  const ended = endOf(options.signal);
  const config = await loadAgentConfig({ file: options.configFile });
  const agent = await startAgent(config, await inheritedSockets());
  ui.info(
    `dstack guest agent ${VERSION_TEXT} for app ${ui.printable(agent.state.compose.name)}, evidence: ${agent.state.backend.kind}`,
  );
  const stopWatchdog = await report(agent, options.watchdog ?? false);
  const reason = await ended;
  ui.info(`${reason}: stopping`);
  stopWatchdog();
  await sdNotify('STOPPING=1').catch(() => false);
  await agent.stop();
}

/** READY when the sockets of the app answer a request; then the watchdog, if asked for. */
async function report(agent: Agent, watchdog: boolean): Promise<() => void> {
  const check = async () => {
    for (const [name, path] of [
      ['internal', '/Version'],
      ['internal-v0', '/prpc/Version'],
    ] as const) {
      const address = agent.listeners.find((listener) => listener.name === name)?.address;
      if (address === undefined)
        throw new DstackError('LISTENER_FAILED', `listener ${name} does not listen`, { field: name });
      await selfCheck(address, path);
    }
  };
  let ready = false;
  let retry: NodeJS.Timeout | undefined;
  const untilReady = async (): Promise<void> => {
    try {
      await check();
      ready = true;
      await tellReady(
        `serving ${agent.listeners.filter((listener) => listener.address !== undefined).length} of ${agent.listeners.length} listeners`,
      );
    } catch (thrown) {
      ui.error(`not ready: ${errorChain(thrown)}`);
      retry = setTimeout(() => void untilReady(), 1000);
    }
  };
  await untilReady();
  const period = watchdog ? watchdogPeriod() : undefined;
  if (watchdog && period === undefined) ui.info('no watchdog is configured for this process (WATCHDOG_USEC)');
  const stop =
    period === undefined
      ? () => {}
      : startWatchdog(period, async () => (ready ? check() : Promise.reject(new Error('not ready yet'))));
  return () => {
    clearTimeout(retry);
    stop();
  };
}

/** Resolves with the reason to stop. */
function endOf(signal: AbortSignal | undefined): Promise<string> {
  return new Promise((resolve) => {
    if (signal !== undefined) {
      if (signal.aborted) resolve('aborted');
      signal.addEventListener('abort', () => resolve('aborted'), { once: true });
      return;
    }
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve(name));
  });
}
