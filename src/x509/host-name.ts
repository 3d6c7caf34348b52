/** Whether a certificate is for a host (RFC 9525): by the names of subjectAltName alone, never by its common name. */

import { sameBytes } from '../codec/bytes.ts';
import { latin1 } from '../codec/text.ts';
import { addressBytes, type GeneralName, NAME_TAG } from './names.ts';

/**
 * @param host DNS name (international names in their ASCII form) or IP address literal
 * @returns true if one of the names is the host, or a wildcard as its whole first label meets exactly one label of it
 */
export function isForHost(altNames: readonly GeneralName[], host: string): boolean {
  const address = addressBytes(host);
  if (address !== undefined) {
    return altNames.some(({ tag, value }) => tag === NAME_TAG.address && sameBytes(value, address));
  }
  const wanted = host.toLowerCase();
  return (
    wanted !== '' &&
    altNames.some(({ tag, value }) => tag === NAME_TAG.dns && matches(latin1(value).toLowerCase(), wanted))
  );
}

function matches(name: string, host: string): boolean {
  if (name === host) return true;
  const suffix = /^\*(\.[^*.]+\.[^*]*[^*.])$/.exec(name)?.[1];
  const label = suffix !== undefined && host.endsWith(suffix) ? host.slice(0, -suffix.length) : '';
  return label !== '' && !label.includes('.');
}
