/**
 * Which addresses a gateway may put into the tunnel, and where the tunnel may end. A gateway routes each address it names
 * into its VPN: the guest would look there for its resolver, its containers or itself.
 */
import { BlockList, isIPv4, isIPv6 } from 'node:net';
import { type Occupied, occupant } from './occupied.ts';

const PRIVATE = blocks(4, '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'); // RFC 1918
const PRIVATE_RANGES = '10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16';

/** Special-purpose ranges (RFC 6890) in which no other machine is found, and the name that an error gives them. */
const SPECIAL: readonly (readonly [what: string, v4: BlockList | undefined, v6: BlockList | undefined])[] = [
  ['unspecified', blocks(4, '0.0.0.0/8'), blocks(6, '::/128')],
  ['loopback', blocks(4, '127.0.0.0/8'), blocks(6, '::1/128')],
  ['link-local', blocks(4, '169.254.0.0/16'), blocks(6, 'fe80::/10')],
  ['multicast', blocks(4, '224.0.0.0/4'), blocks(6, 'ff00::/8')],
  ['reserved', blocks(4, '240.0.0.0/4'), undefined],
  // would be one of the above in another spelling
  ['IPv4-mapped', undefined, blocks(6, '::ffff:0:0/96')],
];

function blocks(family: 4 | 6, ...ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [base = '', prefix] = range.split('/');
    list.addSubnet(base, Number(prefix), `ipv${family}`);
  }
  return list;
}

/**
 * What speaks against routing this IPv4 address into the tunnel, as the end of a sentence; undefined when nothing does.
 * It must be private (RFC 1918; the VPN has no IPv6) and used by nothing on this machine.
 */
export function whyNotInTunnel(address: string, occupied: readonly Occupied[]): string | undefined {
  const special = whyNotAnotherMachine(address);
  if (special !== undefined) return special;
  if (!PRIVATE.check(address, 'ipv4')) return `must be a private address: in ${PRIVATE_RANGES}`;
  const user = occupant(address, occupied);
  return user === undefined ? undefined : `collides with ${user.by} (${user.address}/${user.prefix})`;
}

/**
 * What speaks against this address as the end of a tunnel: it may be public or private, but must be another machine.
 * @param occupied for the machine's own addresses; what it merely uses may be a gateway too
 */
export function whyNotEndpoint(address: string, occupied: readonly Occupied[]): string | undefined {
  const special = whyNotAnotherMachine(address);
  if (special !== undefined) return special;
  const own = isIPv4(address)
    ? occupant(
        address,
        occupied.filter((range) => range.own),
      )
    : undefined;
  return own === undefined ? undefined : `is an address of this machine (${own.by})`;
}

function whyNotAnotherMachine(address: string): string | undefined {
  const kind = isIPv4(address) ? 'ipv4' : isIPv6(address) ? 'ipv6' : undefined;
  if (kind === undefined) return 'must be an IP address';
  const found = SPECIAL.find(([, v4, v6]) => (kind === 'ipv4' ? v4 : v6)?.check(address, kind));
  return found === undefined ? undefined : `must not be ${found[0]}`;
}
