/**
 * A gateway for development: RegisterCvm over RA-TLS, as guests call it. It takes a guest that shows a certificate below the
 * right root with the app info in it, gives it an address and makes it a peer of a real WireGuard interface.
 */
import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { toHex } from '../../src/codec/hex.ts';
import { WG_KEY } from '../../src/net/gateway-cache.ts';
import { decodeAppInfoExtension } from '../../src/tdx/app-info-extension.ts';
import { checkChain, OID, parseCertificate, parsePemCertificate, readExtension } from '../../src/x509/x509.ts';
import { readBody, TlsFront } from '../tls-front.ts';
import { PeerTable } from './peers.ts';
import type { WireGuardEnd } from './wireguard-end.ts';

const BODY_LIMIT = 64 * 1024;

/** What the gateway does wrong on demand; may be changed while it runs. */
export interface GatewayFaults {
  /** closes every connection before it says anything */
  down?: boolean;
  /** closes the connection in the middle of the answer */
  dieMidAnswer?: boolean;
  /** answers with something that is not a registration */
  garbage?: boolean;
  /** wants a quote in the certificate, as gateways did */
  oldVersion?: boolean;
  /** milliseconds before each answer */
  delay?: number;
}

export interface GatewayServerOptions {
  /** PEM: what the guests see */
  readonly certificate: string;
  readonly key: string;
  /** the root below which guests must have their certificates, PEM */
  readonly clientRoot: string;
  /** first two numbers of the VPN network, such as 10.4 */
  readonly network: string;
  /** `host:port` that guests send WireGuard packets to */
  readonly endpoint: string;
  /** further gateways of the cluster, as they are told to guests */
  readonly others?: readonly { readonly pk: string; readonly ip: string; readonly endpoint: string }[];
  readonly wireGuard: Pick<WireGuardEnd, 'publicKey' | 'addPeer' | 'removePeer' | 'options'>;
}

export interface GatewayEvent {
  readonly event: 'registered' | 'refused' | 'forgot';
  readonly app?: string;
  readonly ip?: string;
  readonly error?: string;
  readonly peers: number;
}

/** One gateway. Emits `event` for each registration and refusal. */
export class GatewayServer extends EventEmitter<{ event: [GatewayEvent] }> {
  readonly faults: GatewayFaults;
  readonly peers: PeerTable;
  readonly #options: GatewayServerOptions;
  readonly #front: TlsFront;

  private constructor(options: GatewayServerOptions, faults: GatewayFaults) {
    super();
    this.#options = options;
    this.faults = faults;
    this.peers = new PeerTable(options.network);
    this.#front = new TlsFront({ ...options, down: () => this.faults.down === true }, (request, response, chain) =>
      this.#serve(request, response, chain),
    );
  }

  static async start(
    options: GatewayServerOptions,
    where: { readonly host: string; readonly port: number },
    faults: GatewayFaults = {},
  ): Promise<GatewayServer> {
    const gateway = new GatewayServer(options, faults);
    await gateway.#front.listen(where);
    return gateway;
  }

  get port(): number {
    return this.#front.port;
  }

  /** Forgets all guests: what a restart without state does. */
  forget(): void {
    for (const { publicKey } of this.peers.forget()) this.#options.wireGuard.removePeer(publicKey);
    this.emit('event', { event: 'forgot', peers: 0 });
  }

  /** From now on another certificate is shown, such as that of another app. */
  show(identity: Pick<GatewayServerOptions, 'certificate' | 'key'>): void {
    this.#front.show(identity);
  }

  close(): Promise<void> {
    return this.#front.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse, chain: readonly Uint8Array[]): Promise<void> {
    let status = 200;
    let text: string;
    try {
      if (this.faults.delay) await new Promise((resolve) => setTimeout(resolve, this.faults.delay));
      text = JSON.stringify(await this.#answer(request, chain));
      if (this.faults.garbage) text = '{"wg":{"client_ip":"10.4.0.9\\nPostUp = false","servers":[]}}';
    } catch (thrown) {
      status = 400;
      const error = thrown instanceof Error ? thrown.message : String(thrown);
      this.emit('event', { event: 'refused', error, peers: this.peers.all.length });
      text = JSON.stringify({ error }, null, 2);
    }
    response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
    if (!this.faults.dieMidAnswer) return void response.end(text);
    response.write(text.slice(0, 10), () => request.socket.destroy());
  }

  async #answer(request: IncomingMessage, chain: readonly Uint8Array[]): Promise<unknown> {
    const { pathname } = new URL(request.url ?? '/', 'https://gateway');
    const method = /^\/prpc\/(?:Gateway\.|Tproxy\.)?(\w+)$/.exec(pathname)?.[1];
    if (method !== 'RegisterCvm') throw new Error(`Service not found: ${method ?? pathname}`);
    const body = JSON.parse(Buffer.from(await readBody(request, BODY_LIMIT)).toString() || '{}') as {
      client_public_key?: unknown;
      port_policy?: unknown;
    };
    const publicKey = body.client_public_key;
    if (typeof publicKey !== 'string' || !WG_KEY.test(publicKey)) throw new Error('[bad key] not a WireGuard key');
    const { appId, instanceId } = await this.#identify(chain);
    const { wireGuard, network, endpoint, others = [] } = this.#options;
    const { peer, replaced } = this.peers.register(publicKey, toHex(appId), toHex(instanceId));
    if (replaced !== undefined) wireGuard.removePeer(replaced.publicKey);
    wireGuard.addPeer(publicKey, peer.ip);
    this.emit('event', { event: 'registered', app: peer.appId, ip: peer.ip, peers: this.peers.all.length });
    const self = { pk: wireGuard.publicKey, ip: wireGuard.options.address, endpoint };
    return {
      wg: { client_ip: peer.ip, servers: [self, ...others] },
      agent: {
        external_port: 8090,
        internal_port: 8090,
        domain: `${network}.gateway.invalid`,
        app_address_ns_prefix: '_dstack-app-address',
      },
      gateways: [],
    };
  }

  /** Who is asking: the certificate must chain to the root and carry the identity of an app. */
  async #identify(chain: readonly Uint8Array[]): Promise<{ appId: Uint8Array; instanceId: Uint8Array }> {
    const root = parsePemCertificate(this.#options.clientRoot, 'the trusted root');
    const [leaf] = checkChain(chain.map(parseCertificate), { root, at: Date.now(), purpose: 'client' });
    if (leaf === undefined) throw new Error('no client certificate');
    if (this.faults.oldVersion && readExtension(leaf, OID.attestation) === undefined) {
      throw new Error('no attestation provided');
    }
    const info = readExtension(leaf, OID.appInfo);
    if (info === undefined) throw new Error('the client certificate has no app info');
    return decodeAppInfoExtension(info);
  }
}
