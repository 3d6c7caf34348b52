/**
 * The development gateway beside a VM. Its WireGuard interface lives in a network namespace of its own, so that no route of
 * this host changes; the UDP socket is in ours, where the guest reaches it as 10.0.2.2. Apps are reached through a port of
 * 127.0.0.1, each connection of which is carried into the namespace and through the tunnel.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { GATEWAY_APP_ID, gatewayCertificate } from '../../simulator/gateway/gateway-certificate.ts';
import { GatewayServer } from '../../simulator/gateway/server.ts';
import { inNamespaceOf, WireGuardEnd } from '../../simulator/gateway/wireguard-end.ts';
import { appAuthority } from '../../simulator/kms/derive.ts';
import type { KmsRoots } from '../../simulator/kms/roots.ts';
import { toHex } from '../../src/codec/hex.ts';
import type { GuestService } from './qemu.ts';

/** as the guests reach the first and the second gateway */
const ADDRESSES = ['10.0.2.103', '10.0.2.104'] as const;
/** this host as the guest sees it on an open user network */
const HOST_ALIAS = '10.0.2.2';
/** the VPN of each gateway */
const NETWORKS = ['10.4', '10.5'] as const;

/** Which one of two. */
export type GatewayNumber = 0 | 1;

export const gatewayAppId = toHex(GATEWAY_APP_ID);

/** Carries one connection: stdin and stdout to a TCP address. */
const CARRY = `const [host, port] = process.argv.slice(-2);
const socket = require('node:net').connect({ host, port: Number(port) });
process.stdin.pipe(socket); socket.pipe(process.stdout); socket.on('error', () => process.exit(1));`;

const identity = async (roots: KmsRoots, number: GatewayNumber, appId: Uint8Array) =>
  gatewayCertificate(await appAuthority(roots, appId), [ADDRESSES[number]], appId);

export class VmGateway {
  readonly server: GatewayServer;
  readonly services: readonly GuestService[];
  readonly sysConfig: { readonly gateway_urls: readonly string[] };
  readonly #roots: KmsRoots;
  readonly #number: GatewayNumber;
  readonly #wireGuard: WireGuardEnd;
  readonly #namespace: ChildProcess;
  readonly #proxies: Server[] = [];

  private constructor(parts: {
    server: GatewayServer;
    roots: KmsRoots;
    number: GatewayNumber;
    wireGuard: WireGuardEnd;
    namespace: ChildProcess;
  }) {
    this.server = parts.server;
    this.#roots = parts.roots;
    this.#number = parts.number;
    this.#wireGuard = parts.wireGuard;
    this.#namespace = parts.namespace;
    const address = ADDRESSES[parts.number];
    this.services = [{ address, port: 443, host: parts.server.port }];
    this.sysConfig = { gateway_urls: [`https://${address}`] };
  }

  /** Starts gateway and interface; needs root. */
  static async start(roots: KmsRoots, number: GatewayNumber = 0): Promise<VmGateway> {
    // it ends with us: its stdin is our pipe
    const namespace = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up; echo ready; read -r end'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(namespace.stdout!, 'data');
    try {
      return await VmGateway.#inside(namespace, roots, number);
    } catch (thrown) {
      namespace.kill();
      throw thrown;
    }
  }

  static async #inside(namespace: ChildProcess, roots: KmsRoots, number: GatewayNumber): Promise<VmGateway> {
    const network = NETWORKS[number];
    const wireGuard = WireGuardEnd.open({
      interface: `dsgw${number}-${process.pid % 1_000_000}`,
      port: 0,
      address: `${network}.0.1/16`,
      ...(namespace.pid === undefined ? {} : { namespaceOf: namespace.pid }),
    });
    const server = await GatewayServer.start(
      {
        ...(await identity(roots, number, GATEWAY_APP_ID)),
        clientRoot: roots.ca.certificate,
        network,
        endpoint: `${HOST_ALIAS}:${wireGuard.port}`,
        wireGuard,
      },
      { host: '127.0.0.1', port: 0 },
    );
    return new VmGateway({ server, roots, number, wireGuard, namespace });
  }

  /** Shows the certificate of an app from now on: its own one, or that of an app that this guest must not trust. */
  async showApp(appId: Uint8Array = GATEWAY_APP_ID): Promise<void> {
    this.server.show(await identity(this.#roots, this.#number, appId));
  }

  /** Address of the guest in the VPN once it has registered. */
  get guest(): string | undefined {
    return this.server.peers.all.at(-1)?.ip;
  }

  /** A port of 127.0.0.1 that leads through the tunnel to a port of the guest. */
  async publish(guestPort: number): Promise<string> {
    const proxy = createServer((socket) => this.#carry(socket, guestPort));
    this.#proxies.push(proxy);
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/`;
  }

  #carry(socket: Socket, port: number): void {
    socket.on('error', () => socket.destroy());
    const { guest } = this;
    if (guest === undefined) return void socket.destroy();
    const command = [...inNamespaceOf(this.#namespace.pid), process.execPath, '-e', CARRY, guest, String(port)];
    const child = spawn(command[0]!, command.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.on('error', () => {});
    socket.pipe(child.stdin);
    child.stdout.pipe(socket);
    socket.on('close', () => child.kill());
  }

  async close(): Promise<void> {
    for (const proxy of this.#proxies) proxy.close();
    await this.server.close();
    this.#wireGuard.close();
    this.#namespace.kill();
  }
}
