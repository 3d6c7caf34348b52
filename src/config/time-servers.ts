/**
 * The kernel parameter `dstack.nts=HOST[:PORT],...`: time servers with authentication (NTS, RFC 8915). The command line is
 * measured, so it is the image and not the host that names who may set the clock.
 */
import { DstackError } from '../errors.ts';
import type { Cmdline } from './cmdline.ts';

export interface TimeServer {
  /** DNS name: an NTS server proves itself with a certificate for it */
  readonly name: string;
  /** TCP port of the key exchange */
  readonly port: number;
}

export const NTS_PARAMETER = 'dstack.nts';
const NTS_PORT = 4460;
const MAX_SERVERS = 8;
const SERVER =
  /^((?=[^:]{1,253}(?::|$))(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)(?::([1-9][0-9]{0,4}))?$/i;

/**
 * The servers of the first occurrence, none without the parameter.
 * @throws CONFIG_INVALID: a server that is left out would be a weaker clock
 */
export function timeServers(cmdline: Cmdline): TimeServer[] {
  const text = cmdline.first(NTS_PARAMETER);
  return text === undefined ? [] : parseTimeServers(text);
}

/** `HOST[:PORT],...` @throws CONFIG_INVALID */
export function parseTimeServers(text: string): TimeServer[] {
  const words = text.split(',');
  if (words.length > MAX_SERVERS) throw invalid(`names more than ${MAX_SERVERS} servers`, text);
  return words.map((word) => {
    const [, name, digits] = SERVER.exec(word) ?? [];
    const port = digits === undefined ? NTS_PORT : Number(digits);
    if (name === undefined || port > 65_535) throw invalid('must be DNS names, each with or without :port', text);
    return { name, port };
  });
}

const invalid = (what: string, value: string): DstackError =>
  new DstackError('CONFIG_INVALID', `kernel parameter ${NTS_PARAMETER} ${what}`, {
    field: NTS_PARAMETER,
    value: value.slice(0, 200),
  });

/** The text of a chrony sources file (chrony.conf(5), sourcedir). */
export const chronySources = (servers: readonly TimeServer[]): string =>
  servers.map(({ name, port }) => `server ${name} iburst nts${port === NTS_PORT ? '' : ` ntsport ${port}`}\n`).join('');
