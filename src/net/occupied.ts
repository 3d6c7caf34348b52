/**
 * Which IPv4 addresses this machine already uses: its own, those of the networks it is on, its next hops, its resolvers,
 * docker's pools, and the services that the host named by address. A tunnel must take none of them over.
 */
import { BlockList, isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { SysConfig } from '../config/sys-config.ts';
import { ifExists, readLimited } from '../sys/files.ts';
import { WG_INTERFACE } from './wireguard-names.ts';

/** A range of IPv4 addresses and who uses it. */
export interface Occupied {
  readonly address: string;
  /** length of the prefix, 32 for one address */
  readonly prefix: number;
  /** such as `the network of eth0` */
  readonly by: string;
  /** the address is this machine's own, so nothing outside can have it */
  readonly own?: boolean;
}

/** What is asked of the machine; tests give texts of their own. */
export interface Sources {
  /** /proc/net/route */
  readonly routes: string;
  /** resolv.conf(5) texts */
  readonly resolvers: readonly string[];
  /** /etc/docker/daemon.json, empty for none */
  readonly docker: string;
  readonly interfaces: ReturnType<typeof networkInterfaces>;
}

/** docker takes its networks from these unless daemon.json says otherwise (default-address-pools, bip). */
const DOCKER_POOLS = [...Array.from({ length: 15 }, (_, i) => `172.${17 + i}.0.0/16`), '192.168.0.0/16'];
const LIMIT = 1024 * 1024;

/** Everything in use on this machine, the tunnel itself left out. */
export async function occupiedAddresses(sysConfig: SysConfig): Promise<Occupied[]> {
  const text = async (path: string) => {
    const raw = await ifExists(() => readLimited(path, LIMIT));
    return raw === undefined ? '' : new TextDecoder().decode(raw);
  };
  return listOccupied(sysConfig, {
    routes: await text('/proc/net/route'),
    // the second names the servers that systemd-resolved asks, where the first names only systemd-resolved
    resolvers: [await text('/etc/resolv.conf'), await text('/run/systemd/resolve/resolv.conf')],
    docker: await text('/etc/docker/daemon.json'),
    interfaces: networkInterfaces(),
  });
}

/** The same from given texts. Lines of other forms are passed over: each source only adds what is in use. */
export function listOccupied(sysConfig: SysConfig, sources: Sources): Occupied[] {
  return [
    ...ownAddresses(sources.interfaces),
    ...routed(sources.routes),
    ...sources.resolvers.flatMap((text) => resolvers(text)),
    ...dockerPools(sources.docker),
    ...namedServices(sysConfig),
  ];
}

/** Finds who uses this IPv4 address. */
export function occupant(address: string, occupied: readonly Occupied[]): Occupied | undefined {
  return occupied.find((range) => inRange(address, range));
}

function inRange(address: string, { address: base, prefix }: Occupied): boolean {
  const list = new BlockList();
  list.addSubnet(base, prefix, 'ipv4');
  return list.check(address, 'ipv4');
}

function ownAddresses(interfaces: Sources['interfaces']): Occupied[] {
  return Object.entries(interfaces).flatMap(([name, list = []]) =>
    name === WG_INTERFACE
      ? []
      : list
          .filter(({ address }) => isIPv4(address))
          .map(({ address }) => ({ address, prefix: 32, by: `${name} of this machine`, own: true })),
  );
}

/** Networks without a next hop, and every next hop. Routes behind a next hop do not matter: a more exact route wins. */
function routed(text: string): Occupied[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', destination = '', hop = '', , , , , mask = ''] = line.trim().split(/\s+/);
    if (name === WG_INTERFACE || ![destination, hop, mask].every((hex) => /^[0-9A-F]{8}$/.test(hex))) return [];
    const prefix = [...Number.parseInt(mask, 16).toString(2)].filter((bit) => bit === '1').length;
    if (hop !== '00000000') return [{ address: dotted(hop), prefix: 32, by: `a next hop of ${name}` }];
    // a default route without a next hop says nothing about who is there
    return prefix === 0 ? [] : [{ address: dotted(destination), prefix, by: `the network of ${name}` }];
  });
}

/** The kernel prints addresses as little-endian words. */
const dotted = (hex: string): string => [...Buffer.from(hex, 'hex')].reverse().join('.');

function resolvers(text: string): Occupied[] {
  return text.split('\n').flatMap((line) => {
    const [keyword, address = ''] = line.trim().split(/\s+/);
    return keyword === 'nameserver' && isIPv4(address) ? [{ address, prefix: 32, by: 'a resolver' }] : [];
  });
}

function dockerPools(text: string): Occupied[] {
  let config: { bip?: unknown; 'default-address-pools'?: unknown } | null = null;
  try {
    config = JSON.parse(text);
  } catch {
    // dockerd will say what is wrong with its file
  }
  const pools = config?.['default-address-pools'];
  const bases = Array.isArray(pools) && pools.length > 0 ? pools.map((pool) => pool?.base) : DOCKER_POOLS;
  return [...bases, config?.bip].flatMap((base) => {
    const [address = '', length = ''] = typeof base === 'string' ? base.split('/') : [];
    if (!isIPv4(address) || !/^([0-9]|[12][0-9]|3[0-2])$/.test(length)) return [];
    return [{ address, prefix: Number(length), by: "docker's address pools" }];
  });
}

/** Services that .sys-config.json names by an IPv4 address; a name can have any address at any time. */
function namedServices(sysConfig: SysConfig): Occupied[] {
  const { hostApiUrl, pccsUrl, nvidiaAttestationProxyUrl, dockerRegistry } = sysConfig;
  const services: [string | undefined, string][] = [
    [hostApiUrl, 'the host API'],
    ...sysConfig.kmsUrls.map((url): [string, string] => [url, 'a KMS']),
    ...sysConfig.gatewayUrls.map((url): [string, string] => [url, "a gateway's public address"]),
    [pccsUrl, 'the collateral service'],
    [nvidiaAttestationProxyUrl, 'the attestation proxy'],
    [dockerRegistry, 'the docker registry'],
  ];
  return services.flatMap(([url, by]) => {
    const address = url === undefined || !URL.canParse(url) ? '' : new URL(url).hostname;
    return isIPv4(address) ? [{ address, prefix: 32, by }] : [];
  });
}
