/**
 * `agent_sockets` of app-compose.json: sockets of the guest agent that answer only some methods, for containers that
 * should not have everything. Read strictly, because a rule that is misspelt would protect nothing; and it is part of the
 * measured document, so a verifier sees who may do what.
 */
import { SERVICES } from '../codec/prpc-services.ts';
import type { Fields } from './fields.ts';

export interface AgentSocket {
  /** file name without `.sock` */
  readonly name: string;
  /**
   * bare methods of DstackGuest, those of the guest API v1 as `v1.<Method>`, of the older interface as `Tappd.<Method>`;
   * groups are written out
   */
  readonly allow: readonly string[];
  /** stands before every key path, purpose and domain; empty, or ends with a slash */
  readonly keyPrefix: string;
  /** the dotted name of the rule in the document */
  readonly rule: string;
}

const MOST_SOCKETS = 32;
const NAME = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;
const PREFIX = /^(?:[A-Za-z0-9._-]{1,64}\/){1,8}$/;

const METHODS: ReadonlySet<string> = new Set([
  ...Object.keys(SERVICES.DstackGuest),
  ...Object.keys(SERVICES.DstackGuestV1).map((method) => `v1.${method}`),
  ...Object.keys(SERVICES.Tappd).map((method) => `Tappd.${method}`),
]);

/**
 * Groups of methods by one lower-case word. `evidence` is everything that a container needs to prove who the app is, and
 * nothing that gives or uses a key, or changes a register.
 */
const GROUPS: ReadonlyMap<string, readonly string[]> = new Map([
  [
    'evidence',
    [
      ...['GetQuote', 'Attest', 'Info', 'GpuInfo', 'Version'],
      ...['v1.Attest', 'v1.AttestGpu', 'v1.Info', 'v1.Version'],
      ...['Tappd.TdxQuote', 'Tappd.RawQuote', 'Tappd.Info', 'Tappd.Version'],
    ],
  ],
]);

/** @throws DOCUMENT_INVALID naming field and value */
export function parseAgentSockets(fields: Fields): AgentSocket[] {
  const entries = fields.objects('agent_sockets');
  if (entries.length > MOST_SOCKETS)
    fields.fail('agent_sockets', `has more than ${MOST_SOCKETS} entries`, entries.length);
  const sockets: AgentSocket[] = [];
  for (const entry of entries) {
    entry.denyUnknown(['name', 'allow', 'key_prefix']);
    const name = entry.string('name');
    if (!NAME.test(name)) entry.fail('name', 'must be 1 to 32 of a-z, 0-9 and inner dashes', name);
    if (sockets.some((other) => other.name === name)) entry.fail('name', 'occurs twice', name);
    const keyPrefix = readPrefix(entry);
    for (const { keyPrefix: other, rule } of sockets) {
      if (overlap(keyPrefix, other)) entry.fail('key_prefix', `reaches into the one of ${rule}`, keyPrefix);
    }
    sockets.push({ name, allow: readAllow(entry), keyPrefix, rule: entry.name('') });
  }
  return sockets;
}

function readAllow(entry: Fields): string[] {
  const allow = entry.strings('allow');
  if (allow.length === 0) entry.fail('allow', 'must name at least one method');
  const known = [...METHODS, ...GROUPS.keys()];
  allow.forEach((method, index) => {
    if (!known.includes(method))
      entry.fail(`allow[${index}]`, `is not a method: expected one of ${known.join(', ')}`, method);
    if (allow.indexOf(method) !== index) entry.fail(`allow[${index}]`, 'occurs twice', method);
  });
  return [...new Set(allow.flatMap((method) => GROUPS.get(method) ?? [method]))];
}

function readPrefix(entry: Fields): string {
  const prefix = entry.optionalString('key_prefix');
  if (prefix === undefined) return '';
  const parts = prefix.split('/');
  if (!PREFIX.test(prefix) || parts.includes('.') || parts.includes('..'))
    entry.fail(
      'key_prefix',
      'must be names of letters, digits, dot, dash, underscore, each followed by a slash',
      prefix,
    );
  return prefix;
}

/** One prefix inside another would give its socket the keys of the other; the same one twice is shared on purpose. */
const overlap = (a: string, b: string): boolean =>
  a !== '' && b !== '' && a !== b && (a.startsWith(b) || b.startsWith(a));
