/** An image folder with one changed byte in one of its measured parts, and what `verify` must name for it. */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where the first difference shows, and under which name. */
export const FLIPS = [
  { file: 'ovmf.fd', drift: { register: 'mrtd', event: 'firmware' } },
  { file: 'bzImage', drift: { register: 'rtmr1', event: 'kernel' } },
  { file: 'metadata.json', drift: { register: 'rtmr2', event: 'command-line' } },
  { file: 'initrd', drift: { register: 'rtmr2', event: 'initrd' } },
] as const;

/** Copies what is measured of an image to `to` and changes one byte of `file`: the middle one, or the log level. */
export function flippedFolder(from: string, to: string, file: (typeof FLIPS)[number]['file']): string {
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to, { recursive: true });
  const names = [...FLIPS.map((flip) => flip.file), 'sha256sum.txt', 'measurement.tdx.cbor'];
  for (const name of names) cpSync(join(from, name), join(to, name));
  const bytes = readFileSync(join(from, file));
  const at = file === 'metadata.json' ? bytes.indexOf('loglevel=5') + 'loglevel='.length : bytes.length >> 1;
  bytes[at] = bytes[at]! ^ 1;
  writeFileSync(join(to, file), bytes);
  return to;
}
