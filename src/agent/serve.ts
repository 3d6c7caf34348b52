/**
 * The guest agent: four listeners, one process. The internal ones serve the app, the external one everybody, the vsock one
 * the host. A listener that fails is tried again and does not take the others down.
 */
import { type AgentConfig, type ListenerConfig, loadAgentConfig } from '../config/agent-config.ts';
import { wipeAppKeys } from '../config/app-keys.ts';
import { errorChain } from '../errors.ts';
import { type HttpHandler, HttpServer } from '../http/http.ts';
import { notifyHost } from '../net/net.ts';
import { detectPlatform } from '../tdx/platform.ts';
import { realTdxMachine } from '../tdx/tdx-machine.ts';
import * as ui from '../ui.ts';
import { VERSION_TEXT } from '../version.ts';
import { externalHandler } from './external.ts';
import type { Readiness } from './figures/readyz.ts';
import { giveUp, type InheritedSocket, inheritedSockets, NOTHING_INHERITED } from './listen/activation.ts';
import { parseAddress } from './listen/address.ts';
import { tellStatus, watch } from './listen/health.ts';
import { tidyWhenIdle } from './listen/idle.ts';
import { Listener } from './listen/listener.ts';
import { peerNamer } from './listen/peer.ts';
import { type Mount, rpcHandler, rpcMalformed, rpcRefusal } from './rpc/rpc.ts';
import { guestApi } from './services/guest-api.ts';
import { guestService } from './services/guest-service.ts';
import { guestServiceV1 } from './services/guest-service-v1.ts';
import { scopedHandler } from './services/scoped.ts';
import { tappdService } from './services/tappd-service.ts';
import { type AgentState, loadState } from './state.ts';

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

/** What sets listeners apart beside their address. */
interface Extra {
  readonly activated?: InheritedSocket | undefined;
  readonly required?: boolean;
  readonly probePath?: string;
  /** permissions of a socket file that is made here */
  readonly mode?: number;
}

const GRACE_MS = 5000;

/** In every answer, as the platform's agent sends them: no guessing of types, no foreign frames, no cohorts. */
const SAFE_HEADERS = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'SAMEORIGIN',
  'permissions-policy': 'interest-cohort=()',
};

/** Starts all listeners. @throws when a document, the keys or the backend cannot be used */
export async function startAgent(config: AgentConfig, { activated, kept } = NOTHING_INHERITED): Promise<Agent> {
  const state = await loadState(config);
  const started = Date.now();
  const servers: HttpServer[] = [];
  const listeners: Listener[] = [];
  const readiness = (): Readiness => ({
    ready: listeners.every((listener) => !listener.required || listener.status().state === 'listening'),
    evidence: state.backend.kind,
    uptimeSeconds: Math.floor((Date.now() - started) / 1000),
    listeners: listeners.map((listener) => listener.status()),
  });
  const namers = { unix: await peerNamer('unix'), tcp: await peerNamer('tcp'), vsock: await peerNamer('vsock') };
  const add = (name: string, profile: ListenerConfig, handler: HttpHandler, more: Extra): void => {
    const address = { ...parseAddress(name, profile), ...(more.mode === undefined ? {} : { mode: more.mode }) };
    const http = new HttpServer({
      handler,
      refuse: rpcRefusal,
      onMalformed: rpcMalformed,
      headers: { server: profile.ident, ...SAFE_HEADERS },
      limits: { idle: profile.keepAlive * 1000 },
      peerOf: namers[more.activated === undefined ? address.kind : 'unix'],
    });
    servers.push(http);
    listeners.push(new Listener({ name, address, http, kept: kept.get(name), ...more }));
  };
  const notify = async (event: string, payload: string): Promise<void> => {
    try {
      await notifyHost(state.hostApiUrl, event, payload, { platform: detectPlatform(realTdxMachine) });
    } catch (thrown) {
      ui.warn(`the host was not told ${event}: ${errorChain(thrown)}`);
    }
  };
  const { observe } = state.stats;
  const app = { required: true, probePath: '/Version' };
  add('internal', config.internal, internalHandler(state, observe), { ...app, activated: activated[0] });
  const tappd = rpcHandler('Tappd', tappdService(state), { base: '/prpc', strip: 'Tappd.', observe });
  add('internal-v0', config.internalV0, tappd, { required: true, probePath: '/prpc/Version', activated: activated[1] });
  add('external', config.external, externalHandler(state, readiness), { probePath: '/prpc/Version' });
  add('guest-api', config.guestApi, rpcHandler('GuestApi', guestApi(state, { notify }), { base: '/api', observe }), {});
  for (const socket of state.compose.agentSockets) {
    const profile = {
      ...config.internal,
      address: `unix:${config.core.scopedSockets}/${socket.name}.sock`,
      reuse: true,
    };
    // any process of a container that has the file may ask, like on the other sockets of the app
    add(`scoped/${socket.name}`, profile, scopedHandler(socket, state, observe), { ...app, mode: 0o777 });
  }
  await Promise.all(listeners.map((listener) => listener.start()));
  const names = new Set(listeners.map(({ name }) => name));
  for (const [name, { fd }] of kept) if (!names.has(name)) await giveUp(name, fd);
  void state.demo.issue();
  const stopLooking = state.health.start();
  const stopTidying = tidyWhenIdle(() => servers.reduce((sum, { counts }) => sum + counts.answers, 0));
  return {
    state,
    listeners,
    readiness,
    async stop() {
      stopTidying();
      stopLooking();
      await Promise.all([
        ...listeners.map((listener) => listener.stop()),
        ...servers.map((server) => server.close(GRACE_MS)),
      ]);
      state.keyCache.clear();
      wipeAppKeys(state.keys);
    },
  };
}

/** The app's own socket: the frozen interface at its two places, and the guest API v1. */
function internalHandler(state: AgentState, observe: Mount['observe']): HttpHandler {
  const seen = observe === undefined ? {} : { observe };
  const v0 = rpcHandler('DstackGuest', guestService(state), { base: ['/', '/v0'], ...seen });
  const v1 = rpcHandler('DstackGuestV1', guestServiceV1(state), { base: '/v1', unknownMethod: 404, ...seen });
  return (request) => (request.path.startsWith('/v1/') ? v1(request) : v0(request));
}

/** Serves until SIGTERM or SIGINT, or until the signal of the options. */
export async function serve(options: ServeOptions = {}): Promise<void> {
  const ended = endOf(options.signal);
  await tellStatus('reading the documents of the app');
  const config = await loadAgentConfig({ file: options.configFile });
  const agent = await startAgent(config, await inheritedSockets());
  ui.info(
    `dstack guest agent ${VERSION_TEXT} for app ${ui.printable(agent.state.compose.name)}, evidence: ${agent.state.backend.kind}`,
  );
  const stopWatching = await watch(agent.listeners, options.watchdog ?? false);
  const reason = await ended;
  ui.info(`${reason}: stopping`);
  stopWatching();
  await tellStatus('stopping', 'STOPPING=1');
  await agent.stop();
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
