/**
 * The answer of a gateway to RegisterCvm, strictly checked: what is in it ends in a file that wg-quick executes, in
 * routes and in firewall rules. Source: dstack services, gateway client.
 */
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { Fields } from '../config/fields.ts';
import { WG_KEY } from './gateway-cache.ts';
import type { Occupied } from './occupied.ts';
import { whyNotEndpoint, whyNotInTunnel } from './tunnel-addresses.ts';

export interface WireGuardServer {
  /** base64 of 32 bytes */
  readonly pk: string;
  /** IPv4 address, with or without a prefix length */
  readonly ip: string;
  /** host:port; the host is a name, an IPv4 address, or an IPv6 address in brackets */
  readonly endpoint: string;
}

export interface WireGuardAnswer {
  /** IPv4 address of this guest inside the VPN */
  readonly clientIp: string;
  readonly servers: readonly WireGuardServer[];
}

/** More gateways than any cluster has; each is a peer and a firewall rule. */
const MAX_SERVERS = 64;

/**
 * @param occupied what this machine uses: no address of the answer may take it over
 * @throws GATEWAY_FAILED naming the field and its value
 */
export function parseRegistration(answer: unknown, url: string, occupied: readonly Occupied[]): WireGuardAnswer {
  const fields = new Fields(answer, { path: url, code: 'GATEWAY_FAILED' });
  const wg = fields.object('wg') ?? fields.fail('wg', 'is missing: the gateway gave no VPN configuration');
  const clientIp = wg.string('client_ip');
  if (!isIPv4(clientIp)) wg.fail('client_ip', 'must be an IPv4 address', clientIp);
  const refusal = whyNotInTunnel(clientIp, occupied);
  if (refusal !== undefined) wg.fail('client_ip', refusal, clientIp);
  const entries = wg.objects('servers');
  if (entries.length > MAX_SERVERS) wg.fail('servers', `has more than ${MAX_SERVERS} entries`, entries.length);
  const servers = entries.map((entry) => parseServer(entry, occupied));
  for (const [i, entry] of entries.entries()) refuseLoops(entry, clientIp, servers[i]!, servers);
  return { clientIp, servers };
}

function parseServer(fields: Fields, occupied: readonly Occupied[]): WireGuardServer {
  const pk = fields.string('pk');
  if (!WG_KEY.test(pk)) fields.fail('pk', 'must be a WireGuard key in base64', pk);
  const ip = fields.string('ip');
  const [address = '', prefix, ...rest] = ip.split('/');
  if (!isIPv4(address) || rest.length > 0 || (prefix !== undefined && !/^([0-9]|[12][0-9]|3[0-2])$/.test(prefix))) {
    fields.fail('ip', 'must be an IPv4 address, with or without a prefix length', ip);
  }
  const refusal = whyNotInTunnel(address, occupied);
  if (refusal !== undefined) fields.fail('ip', refusal, ip);
  const endpoint = fields.string('endpoint');
  const host = splitEndpoint(endpoint)?.host ?? fields.fail('endpoint', 'must be host:port', endpoint);
  const wrong = isIP(host) === 0 ? undefined : whyNotEndpoint(host, occupied);
  if (wrong !== undefined) fields.fail('endpoint', wrong, endpoint);
  return { pk, ip, endpoint };
}

/** No gateway has the guest's own address, and no tunnel ends inside the VPN that it carries. */
function refuseLoops(fields: Fields, clientIp: string, server: WireGuardServer, all: readonly WireGuardServer[]): void {
  const inside = new Set([clientIp, ...all.map(({ ip }) => ip.split('/')[0])]);
  if (server.ip.split('/')[0] === clientIp) fields.fail('ip', 'is the address of this guest', server.ip);
  if (inside.has(splitEndpoint(server.endpoint)?.host)) {
    fields.fail('endpoint', 'is inside the tunnel it is the end of', server.endpoint);
  }
}

const LABEL = '[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?';
const NAME = new RegExp(`^(?=.{1,253}$)${LABEL}(?:\\.${LABEL})*$`);

/** Host and port of an endpoint; undefined when it is none. */
export function splitEndpoint(endpoint: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^[\]:/\s]+)):([0-9]{1,5})$/.exec(endpoint);
  if (match === null) return undefined;
  const [, six, other, digits] = match;
  const port = Number(digits);
  if (port < 1 || port > 65_535) return undefined;
  if (six !== undefined) return isIPv6(six) ? { host: six, port } : undefined;
  const host = other ?? '';
  // four numbers that are not an address must not pass for a name
  if (/^[0-9.]+$/.test(host) ? !isIPv4(host) : !NAME.test(host)) return undefined;
  return { host, port };
}
