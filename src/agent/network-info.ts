/** NetworkInfo: resolvers, gateways and the interfaces an operator asks about. */
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import type { Message } from '../codec/prpc-messages.ts';
import { errorChain } from '../errors.ts';
import { run } from '../sys/exec.ts';

const SHOWN = /^(?:dstack-wg0$|enp|eth)/;

/** Resolver addresses of resolv.conf(5). */
export const parseResolvers = (text: string): string[] =>
  text.split('\n').flatMap((line) => {
    const [keyword, address] = line.trim().split(/\s+/);
    return keyword === 'nameserver' && address ? [address] : [];
  });

/** Default gateways of /proc/net/route: destination 0, address in little-endian hex. */
export function parseGateways(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const [, destination, gateway] = line.trim().split(/\s+/);
    if (destination !== '00000000' || gateway === undefined || !/^[0-9A-F]{8}$/.test(gateway) || gateway === '00000000')
      return [];
    return [[...Buffer.from(gateway, 'hex')].reverse().join('.')];
  });
}

interface Counters {
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

export async function networkInformation(): Promise<Message<'NetworkInformation'>> {
  const addresses = networkInterfaces();
  const counters = parseCounters(await read('/proc/net/dev'));
  return {
    dns_servers: parseResolvers(await read('/etc/resolv.conf')),
    gateways: parseGateways(await read('/proc/net/route')).map((address) => ({ address })),
    interfaces: [...counters]
      .filter(([name]) => SHOWN.test(name))
      .map(([name, counts]) => ({
        name,
        addresses: (addresses[name] ?? []).map(({ address, cidr }) => ({
          address,
          prefix: Number(cidr?.split('/')[1] ?? 0),
        })),
        ...counts,
      })),
    wg_info: await wireguard(),
  };
}

/** The output of `wg`, or why there is none. */
async function wireguard(): Promise<string> {
  try {
    return (await run('wg', [], { readOnly: true, timeout: 5000 })).stdout;
  } catch (thrown) {
    return errorChain(thrown);
  }
}
