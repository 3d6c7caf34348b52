/** PEM (RFC 7468): base64 of DER between two lines that name it. The one reader and the one writer. */
import { fromBase64, toBase64 } from '../codec/text.ts';
import { DstackError } from '../errors.ts';

const PEM_LINE = 64;

/** PEM text: LF line ends, 64 columns, trailing newline. */
export function toPem(label: string, der: Uint8Array): string {
  const base64 = toBase64(der);
  const lines: string[] = [];
  for (let at = 0; at < base64.length; at += PEM_LINE) lines.push(base64.slice(at, at + PEM_LINE));
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

const pattern = (label: string): RegExp =>
  new RegExp(`-----BEGIN ${label}-----([A-Za-z0-9+/=\\s]*)-----END ${label}-----`, 'g');

/**
 * The DER of all blocks with this label, in their order. Text around them does not count (RFC 7468, 5.2).
 * @throws KEY_INVALID for base64 that an encoder would not write (white space aside); never with a piece of the text
 */
export function pemBlocks(text: string, label: string): Uint8Array[] {
  return [...text.matchAll(pattern(label))].map(([, base64 = '']) => {
    const digits = base64.replace(/\s/g, '');
    const der = fromBase64(digits);
    if (der === undefined) throw new DstackError('KEY_INVALID', `PEM block ${label} is not base64`);
    return der;
  });
}

/** True if there is nothing around and inside the blocks but base64, line ends and the zero byte that ends a C string. */
export const isPemOnly = (text: string, label: string): boolean =>
  /^[\r\n\0]*$/.test(text.replaceAll(pattern(label), (_, base64: string) => base64.replace(/[A-Za-z0-9+/=\r\n]/g, '')));

/** The part of a text or of bytes read as latin1 from the first block with this label to the last; undefined without one. */
export function pemSpan(text: string, label: string): string | undefined {
  const blocks = [...text.matchAll(pattern(label))];
  const [first, last] = [blocks[0], blocks.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  return text.slice(first.index, last.index + last[0].length);
}

/** The DER inside the first PEM block with the label. @throws KEY_INVALID */
export function fromPem(text: string, label: string): Uint8Array {
  const [first] = pemBlocks(text, label);
  if (first === undefined) throw new DstackError('KEY_INVALID', `the text does not hold a PEM block ${label}`);
  return first;
}
