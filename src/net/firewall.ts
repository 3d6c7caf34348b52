/**
 * Only the gateways may speak to the WireGuard port: chain DSTACK_WG in front of INPUT. The rules are replaced in one
 * transaction, so there is no moment without the drop rule: `iptables-restore` and `ip6tables-restore`, or one `nft -f`
 * where only nftables is installed. Source: dstack boot order, gateway registration.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { DstackError, errorChain } from '../errors.ts';
import type { installed, run } from '../sys/exec.ts';
import * as ui from '../ui.ts';
import { splitEndpoint, type WireGuardServer } from './gateway-response.ts';
import type { Occupied } from './occupied.ts';
import { whyNotEndpoint } from './tunnel-addresses.ts';
import { WG_PORT } from './wireguard.ts';

export const CHAIN = 'DSTACK_WG';
const NFT_TABLE = 'inet dstack_wg';
const MATCH = `-p udp --dport ${WG_PORT} -j ${CHAIN}`;
const TIMEOUT_MS = 20_000;
const DNS_TIMEOUT_MS = 5000;

export interface FirewallTools {
  readonly run: typeof run;
  readonly installed: typeof installed;
  /** all addresses of a name, default the system's resolver */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
}

/**
 * Lets exactly the endpoints of these servers reach the WireGuard port.
 * @param occupied for the machine's own addresses, see `whyNotEndpoint`
 * @throws FIREWALL_FAILED; GATEWAY_UNREACHABLE when the name of an endpoint does not resolve, or not to another machine
 */
export async function allowServers(
  servers: readonly WireGuardServer[],
  tools: FirewallTools,
  occupied: readonly Occupied[],
): Promise<void> {
  const addresses = await serverAddresses(servers, tools.resolve ?? resolveName, occupied);
  if (await tools.installed('iptablesRestore')) {
    await restore(tools, 'iptablesRestore', 'iptables', addresses.v4);
    await guardIPv6(tools, addresses.v6);
  } else if (await tools.installed('nft')) {
    await apply(tools, 'nft', ['-f', '-'], nftRules(addresses));
  } else {
    throw new DstackError('FIREWALL_FAILED', 'neither iptables-restore nor nft is installed');
  }
}

export interface Addresses {
  readonly v4: readonly string[];
  readonly v6: readonly string[];
}

/** Endpoint addresses by family, sorted and without repetition. @throws GATEWAY_UNREACHABLE */
export async function serverAddresses(
  servers: readonly WireGuardServer[],
  resolve: (host: string) => Promise<readonly string[]>,
  occupied: readonly Occupied[],
): Promise<Addresses> {
  const all = new Set<string>();
  for (const { endpoint } of servers) {
    const host = splitEndpoint(endpoint)?.host ?? '';
    for (const address of isIP(host) ? [host] : await resolve(host)) {
      // a name says what it means only now, and it is the host that answers
      const refusal = whyNotEndpoint(address, occupied);
      if (refusal !== undefined) throw badEndpoint(endpoint, address, refusal);
      all.add(address);
    }
  }
  const of = (family: number) => [...all].filter((address) => isIP(address) === family).sort();
  return { v4: of(4), v6: of(6) };
}

const badEndpoint = (endpoint: string, address: string, refusal: string): DstackError =>
  new DstackError('GATEWAY_UNREACHABLE', `the endpoint ${endpoint} of a gateway ${refusal}`, {
    field: 'endpoint',
    value: address,
  });

async function resolveName(host: string): Promise<string[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ui.duration(DNS_TIMEOUT_MS)}`)), DNS_TIMEOUT_MS);
  });
  try {
    const found = await Promise.race([lookup(host, { all: true }), late]);
    return found.map(({ address }) => address);
  } catch (thrown) {
    throw new DstackError('GATEWAY_UNREACHABLE', `the name ${host} of a gateway does not resolve`, {
      field: 'endpoint',
      value: host,
      cause: thrown,
    });
  } finally {
    clearTimeout(timer);
  }
}

type Restore = 'iptablesRestore' | 'ip6tablesRestore';
type Tables = 'iptables' | 'ip6tables';

/** One transaction: empties and fills the chain and puts the jump in front of everything else, taking an older jump out. */
async function restore(tools: FirewallTools, program: Restore, tables: Tables, sources: readonly string[]) {
  const present = await tools.run(tables, ['-w', '5', '-C', 'INPUT', ...MATCH.split(' ')], {
    ok: [0, 1, 2], // 1: no such rule; 2: no such chain (nft backend)
    readOnly: true,
    timeoutMs: TIMEOUT_MS,
  });
  await apply(tools, program, ['-w', '5', '--noflush'], restoreRules(sources, present.exit === 0));
}

/** The input of iptables-restore --noflush: declaring a chain empties it inside the transaction. */
export function restoreRules(sources: readonly string[], jumpPresent: boolean): string {
  return [
    '*filter',
    `:${CHAIN} - [0:0]`,
    ...(jumpPresent ? [`-D INPUT ${MATCH}`] : []),
    `-I INPUT 1 ${MATCH}`,
    ...sources.map((source) => `-A ${CHAIN} -s ${source} -j ACCEPT`),
    `-A ${CHAIN} -j DROP`,
    'COMMIT',
    '',
  ].join('\n');
}

/** WireGuard listens on IPv6 too: without IPv6 endpoints everything is dropped there. A kernel without IPv6 needs nothing. */
async function guardIPv6(tools: FirewallTools, sources: readonly string[]): Promise<void> {
  try {
    await restore(tools, 'ip6tablesRestore', 'ip6tables', sources);
  } catch (thrown) {
    if (sources.length > 0) throw thrown;
    ui.debug(`no IPv6 rules: ${errorChain(thrown)}`);
  }
}

/** One nft transaction: the table is made if it is missing, deleted, and made again. */
export function nftRules({ v4, v6 }: Addresses): string {
  const accept = (family: 'ip' | 'ip6', list: readonly string[]) =>
    list.length === 0 ? [] : [`    ${family} saddr { ${list.join(', ')} } accept`];
  return [
    `table ${NFT_TABLE}`,
    `delete table ${NFT_TABLE}`,
    `table ${NFT_TABLE} {`,
    `  chain ${CHAIN} {`,
    ...accept('ip', v4),
    ...accept('ip6', v6),
    '    drop',
    '  }',
    '  chain input {',
    '    type filter hook input priority filter; policy accept;',
    `    udp dport ${WG_PORT} jump ${CHAIN}`,
    '  }',
    '}',
    '',
  ].join('\n');
}

async function apply(tools: FirewallTools, program: Restore | 'nft', args: readonly string[], rules: string) {
  await tools.run(program, args, { stdin: rules, timeoutMs: TIMEOUT_MS, code: 'FIREWALL_FAILED' });
}
