/**
 * The answer of a gateway to RegisterCvm, strictly checked: what is in it ends in a file that wg-quick executes and in
 * firewall rules. Source: dstack services, gateway client.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { Fields } from '../config/fields.ts';
import { WG_KEY } from './gateway-cache.ts';

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

/** @throws GATEWAY_FAILED naming the field and its value */
export function parseRegistration(answer: unknown, url: string): WireGuardAnswer {
  const fields = new Fields(answer, { path: url, code: 'GATEWAY_FAILED' });
  const wg = fields.object('wg') ?? fields.fail('wg', 'is missing: the gateway gave no VPN configuration');
  const clientIp = wg.string('client_ip');
  if (!isIPv4(clientIp)) wg.fail('client_ip', 'must be an IPv4 address', clientIp);
  const entries = wg.objects('servers');
  if (entries.length > MAX_SERVERS) wg.fail('servers', `has more than ${MAX_SERVERS} entries`, entries.length);
  return { clientIp, servers: entries.map(parseServer) };
}

function parseServer(fields: Fields): WireGuardServer {
  const pk = fields.string('pk');
  if (!WG_KEY.test(pk)) fields.fail('pk', 'must be a WireGuard key in base64', pk);
  const ip = fields.string('ip');
  const [address = '', prefix, ...rest] = ip.split('/');
  if (!isIPv4(address) || rest.length > 0 || (prefix !== undefined && !/^([0-9]|[12][0-9]|3[0-2])$/.test(prefix))) {
    fields.fail('ip', 'must be an IPv4 address, with or without a prefix length', ip);
  }
  const endpoint = fields.string('endpoint');
  if (splitEndpoint(endpoint) === undefined) fields.fail('endpoint', 'must be host:port', endpoint);
  return { pk, ip, endpoint };
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
  // four numbers that are no address must not pass for a name
  if (/^[0-9.]+$/.test(host) ? !isIPv4(host) : !NAME.test(host)) return undefined;
  return { host, port };
}
