/** PEM (RFC 7468): base64 of DER between two lines that name it. */
import { DstackError } from '../errors.ts';

const PEM_LINE = 64;

/** PEM text: LF line ends, 64 columns, trailing newline. */
export function toPem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der).toString('base64');
  const lines: string[] = [];
  for (let at = 0; at < base64.length; at += PEM_LINE) lines.push(base64.slice(at, at + PEM_LINE));
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/** The DER inside the first PEM block with one of the labels. @throws KEY_INVALID */
export function fromPem(pem: string, label: string): Uint8Array {
  const match = new RegExp(`-----BEGIN ${label}-----([A-Za-z0-9+/=\\s]*)-----END ${label}-----`).exec(pem);
  if (match === null) throw new DstackError('KEY_INVALID', `the text holds no PEM block ${label}`);
  return Uint8Array.from(Buffer.from(match[1]!, 'base64'));
}
