/** What a file is, told by its content. Only sorts: whether it is any good is for the library to say. */

export const ROLES = [
  'evidence',
  'expectations',
  'collateral',
  'root',
  'measurement',
  'checksums',
  'eventLog',
] as const;
export type Role = (typeof ROLES)[number];

/** What people call it, and what its absence means; without such words it is listed only when it is there. */
export const ROLE_WORDS: Readonly<Record<Role, { readonly name: string; readonly absent?: string }>> = {
  evidence: { name: 'Evidence', absent: 'none yet' },
  expectations: { name: 'Expectations', absent: 'none: nothing says which app you mean' },
  collateral: { name: 'Collateral', absent: 'none: a machine cannot be proven genuine without it' },
  root: { name: 'Root certificate', absent: 'Intel’s own' },
  measurement: { name: 'Image measurement' },
  checksums: { name: 'sha256sum.txt' },
  eventLog: { name: 'Event log' },
};

/** Everything that may be dropped, for a sentence. */
export const DROPPABLE =
  'Drop a quote, an answer of the agent (GetQuote), an attestation or an RA-TLS certificate; an expectation file, collateral ' +
  'in JSON, a root certificate in PEM or DER, measurement.tdx.cbor, sha256sum.txt, or an event log in JSON.';

/** Object identifiers of RA-TLS extensions begin with these bytes (1.3.6.1.4.1.62397.1). */
const RA_TLS = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xe7, 0x3d, 0x01];
const CHECKSUM_LINE = /^[0-9a-f]{64} [ *]\S/;
const PEM = /-----BEGIN (?:TRUSTED )?CERTIFICATE-----([^-]*)-----END/;

/** The role of a file. What is not known is taken for evidence: the library says why it is not. */
export function roleOf(bytes: Uint8Array): Role {
  const text = new TextDecoder('latin1').decode(bytes).trim();
  if (text.startsWith('{')) return roleOfObject(text);
  // a list of events; one of numbers is a quote
  if (/^\[\s*[{\]]/.test(text)) return 'eventLog';
  if (CHECKSUM_LINE.test(text)) return 'checksums';
  // a quote has certificates in PEM, too, but does not begin with them
  if (text.startsWith('-----BEGIN ') && PEM.test(text)) return hasEvidence(derOf(text)) ? 'evidence' : 'root';
  // SEQUENCE: a certificate in DER
  if (bytes[0] === 0x30 && (bytes[1] ?? 0) >= 0x80) return hasEvidence(bytes) ? 'evidence' : 'root';
  // a CBOR map; attestations begin otherwise
  if ((bytes[0] ?? 0) >= 0xa0 && (bytes[0] ?? 0) <= 0xbf) return 'measurement';
  return 'evidence';
}

function roleOfObject(text: string): Role {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return 'evidence';
  }
  const has = (...names: string[]): boolean => names.every((name) => Object.hasOwn(value, name));
  if (has('tcb_info', 'qe_identity')) return 'collateral';
  if (has('quote') || has('attestation')) return 'evidence';
  return 'expectations';
}

function derOf(pem: string): Uint8Array {
  try {
    return Uint8Array.from(atob((PEM.exec(pem)?.[1] ?? '').replace(/\s/g, '')), (each) => each.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}

function hasEvidence(der: Uint8Array): boolean {
  const last = der.length - RA_TLS.length;
  for (let at = 0; at <= last; at++) if (RA_TLS.every((byte, i) => der[at + i] === byte)) return true;
  return false;
}
