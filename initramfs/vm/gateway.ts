/**
 * The development gateway beside a VM. Its WireGuard interface lives in a network namespace of its own, so that no route of
 * this host changes; the UDP socket is in ours, where the guest reaches it as 10.0.2.2. Apps are reached through a port of
 * 127.0.0.1, each connection of which is carried into the namespace and through the tunnel.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { GATEWAY_APP_ID, gatewayCertificate } from '../../simulator/gateway/certificate.ts';
import { GatewayServer } from '../../simulator/gateway/server.ts';
import { inNamespaceOf, WireGuardEnd } from '../../simulator/gateway/wireguard-end.ts';
import { appAuthority } from '../../simulator/kms/derive.ts';
import type { KmsRoots } from '../../simulator/kms/roots.ts';
import { toHex } from '../../src/codec/hex.ts';
import type { GuestService } from './qemu.ts';

const ADDRESS = '10.0.2.103';
/** this host as the guest sees it on an open user network */
const HOST_ALIAS = '10.0.2.2';
const NETWORK = '10.4';

export const gatewayAppId = toHex(GATEWAY_APP_ID);

/** Carries one connection: stdin and stdout to a TCP address. */
const CARRY = `const [host, port] = process.argv.slice(-2);
const socket = require('node:net').connect({ host, port: Number(port) });
process.stdin.pipe(socket); socket.pipe(process.stdout); socket.on('error', () => process.exit(1));`;

export class VmGateway {
  readonly server: GatewayServer;
  readonly services: readonly GuestService[];
  readonly sysConfig: Readonly<Record<string, unknown>>;
  readonly #wireGuard: WireGuardEnd;
  readonly #namespace: ChildProcess;
  readonly #proxies: Server[] = [];

  private constructor(server: GatewayServer, wireGuard: WireGuardEnd, namespace: ChildProcess) {
    this.server = server;
    this.#wireGuard = wireGuard;
    this.#namespace = namespace;
    this.services = [{ address: ADDRESS, port: 443, host: server.port }];
    this.sysConfig = { gateway_urls: [`https://${ADDRESS}`] };
  }

  /** Starts gateway and interface; needs root. */
  static async start(roots: KmsRoots): Promise<VmGateway> {
    // it ends with us: its stdin is our pipe
    const namespace = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up; echo ready; read -r end'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(namespace.stdout!, 'data');
    try {
      return await VmGateway.#inside(namespace, roots);
    } catch (thrown) {
      namespace.kill();
      throw thrown;
    }
  }

  static async #inside(namespace: ChildProcess, roots: KmsRoots): Promise<VmGateway> {
    const wireGuard = WireGuardEnd.open({
      interface: `dsgw${process.pid % 1_000_000}`,
      port: 0,
      address: `${NETWORK}.0.1/16`,
      ...(namespace.pid === undefined ? {} : { namespaceOf: namespace.pid }),
    });
    const identity = await gatewayCertificate(await appAuthority(roots, GATEWAY_APP_ID), [ADDRESS]);
    const server = await GatewayServer.start(
      {
        ...identity,
        clientRoot: roots.ca.certificate,
        network: NETWORK,
        endpoint: `${HOST_ALIAS}:${wireGuard.port}`,
        wireGuard,
      },
      { host: '127.0.0.1', port: 0 },
    );
    return new VmGateway(server, wireGuard, namespace);
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
