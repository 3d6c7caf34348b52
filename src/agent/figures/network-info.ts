/** NetworkInfo: resolvers, gateways and the interfaces an operator asks about. */
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import type { Message } from '../../codec/prpc-messages.ts';
import { errorChain } from '../../errors.ts';
import { run } from '../../sys/exec.ts';

const SHOWN = /^(?:dstack-wg0$|enp|eth)/;

/** Resolver addresses of resolv.conf(5). */
export const parseResolvers = (text: string): string[] =>
  text.split('\n').flatMap((line) => {
    const [keyword, address] = line.trim().split(/\s+/);
    return keyword === 'nameserver' && address ? [address] : [];
  });

/** Default gateways of /proc/net/route: destination and mask 0, address in little-endian hex. */
export function parseGateways(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const [, destination, gateway, , , , , mask = '00000000'] = line.trim().split(/\s+/);
    if (destination !== '00000000' || mask !== '00000000') return [];
    if (gateway === undefined || !/^[0-9A-F]{8}$/.test(gateway) || gateway === '00000000') return [];
    return [[...Buffer.from(gateway, 'hex')].reverse().join('.')];
  });
}

/** Default gateways of /proc/net/ipv6_route: destination ::/0 with a next hop. */
export function parseGateways6(text: string): string[] {
  const gateways = text.split('\n').flatMap((line) => {
    const [destination, length, , , hop = ''] = line.trim().split(/\s+/);
    if (destination !== '0'.repeat(32) || length !== '00' || !/^[0-9a-f]{32}$/.test(hop) || /^0+$/.test(hop)) return [];
    // the URL parser writes an IPv6 address in its short form (RFC 5952)
    return [new URL(`http://[${hop.match(/.{4}/g)?.join(':')}]`).hostname.slice(1, -1)];
  });
  return [...new Set(gateways)];
}

export interface Counters {
  readonly rx_bytes: number;
  readonly rx_errors: number;
  readonly tx_bytes: number;
  readonly tx_errors: number;
}

/** Interface counters of /proc/net/dev. */
export function parseCounters(text: string): Map<string, Counters> {
  const out = new Map<string, Counters>();
  for (const line of text.split('\n')) {
    const [, name, rest] = /^\s*([^:\s]+):\s*(.*)$/.exec(line) ?? [];
    const n = rest?.trim().split(/\s+/).map(Number);
    if (name === undefined || n === undefined || n.length < 11) continue;
    out.set(name, { rx_bytes: n[0] ?? 0, rx_errors: n[2] ?? 0, tx_bytes: n[8] ?? 0, tx_errors: n[10] ?? 0 });
  }
  return out;
}

const read = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');

/** Counters of the interfaces that NetworkInfo shows. */
export async function interfaceCounters(): Promise<Map<string, Counters>> {
  return new Map([...parseCounters(await read('/proc/net/dev'))].filter(([name]) => SHOWN.test(name)));
}

/** Everything but the VPN, from files only. */
export async function networkFigures(): Promise<Omit<Message<'NetworkInformation'>, 'wg_info'>> {
  const addresses = networkInterfaces();
  const [resolvers, routes, routes6, counters] = await Promise.all([
    read('/etc/resolv.conf'),
    read('/proc/net/route'),
    read('/proc/net/ipv6_route'),
    interfaceCounters(),
  ]);
  return {
    dns_servers: parseResolvers(resolvers),
    gateways: [...parseGateways(routes), ...parseGateways6(routes6)].map((address) => ({ address })),
    interfaces: [...counters].map(([name, counts]) => ({
      name,
      addresses: (addresses[name] ?? []).map(({ address, cidr }) => ({
        address,
        prefix: Number(cidr?.split('/')[1] ?? 0),
      })),
      ...counts,
    })),
  };
}

export async function networkInformation(): Promise<Message<'NetworkInformation'>> {
  const [figures, wg_info] = await Promise.all([networkFigures(), wireguard()]);
  return { ...figures, wg_info };
}

/** The output of `wg`, or why there is none. */
async function wireguard(): Promise<string> {
  try {
    return (await run('wg', [], { readOnly: true, timeoutMs: 5000 })).stdout;
  } catch (thrown) {
    return errorChain(thrown);
  }
}
