/** Sizes as people write them in app-compose.json: `2G`, `512`, `0x1000`. */
import { DstackError } from '../errors.ts';

const UNITS: readonly [string, bigint][] = [
  ['T', 1n << 40n],
  ['G', 1n << 30n],
  ['M', 1n << 20n],
  ['K', 1n << 10n],
];
const U64_MAX = (1n << 64n) - 1n;

/**
 * Bytes of a size text: hex after `0x`, plain digits, or digits with K, M, G, T (times 1024^n). No fractions, no `B`.
 * A repeated suffix counts once (`2GG` is `2G`), as the deployed parsers have it.
 * @throws DOCUMENT_INVALID for anything else and beyond 64 bits
 */
export function parseHumanSize(text: string, field = 'size'): bigint {
  const bad = (): never => {
    throw new DstackError('DOCUMENT_INVALID', `field ${field} must be a size such as 512, 0x1000, 64M or 2G`, {
      field,
      value: text,
    });
  };
  const trimmed = text.trim();
  let size: bigint;
  if (/^0[xX]/.test(trimmed)) {
    size = /^0[xX][0-9a-fA-F]{1,32}$/.test(trimmed) ? BigInt(trimmed.toLowerCase()) : bad();
  } else {
    const last = trimmed.at(-1) ?? '';
    const unit = UNITS.find(([suffix]) => suffix === last.toUpperCase())?.[1];
    const digits = unit === undefined ? trimmed : trimmed.replace(new RegExp(`${last}+$`), '');
    size = /^[0-9]{1,32}$/.test(digits) ? BigInt(digits) * (unit ?? 1n) : bad();
  }
  return size > U64_MAX ? bad() : size;
}

/** `2G` when exact, else one decimal (`1.5K`, ties to even) in the largest unit that is not above the size. */
export function formatHumanSize(size: bigint | number): string {
  const bytes = BigInt(size);
  const found = UNITS.find(([, unit]) => bytes >= unit);
  if (found === undefined) return bytes.toString();
  const [suffix, unit] = found;
  if (bytes % unit === 0n) return `${bytes / unit}${suffix}`;
  const scaled = bytes * 10n;
  let tenths = scaled / unit;
  const rest = (scaled % unit) * 2n;
  if (rest > unit || (rest === unit && tenths % 2n === 1n)) tenths++;
  return `${tenths / 10n}.${tenths % 10n}${suffix}`;
}
