/** The odd forms of the values in the JSON of a LUKS2 header: what a host could write in place of each. */

/** What is written in place of a value: JSON text, or undefined to take the member out. */
export type Form = readonly [how: string, text: string | undefined];

const q = (value: unknown): string => JSON.stringify(value);
const escaped = (text: string): string =>
  `"${[...text].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`;

/** Any value may be one of these instead. */
export const STRANGERS: readonly Form[] = [
  ['missing', undefined],
  ['null', 'null'],
];

const base64 = (length: number): string => Buffer.alloc(length, 0xa5).toString('base64');

/** Salts and digest: 32 bytes in base64. */
function base64Forms(text: string): Form[] {
  const last = text.length - 2; // one sign of padding: the two lowest bits of the sign before it are not used
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  const loose = text.slice(0, last) + alphabet[alphabet.indexOf(text.charAt(last)) + 1] + text.slice(last + 1);
  return [
    ...[0, 1, 16, 20, 31, 33, 64, 1024].map((n): Form => [`${n} bytes`, q(base64(n))]),
    ['32 other bytes', q(base64(32))],
    ['its first 31 bytes', q(Buffer.from(text, 'base64').subarray(0, 31).toString('base64'))],
    ['a byte more', q(Buffer.concat([Buffer.from(text, 'base64'), Buffer.of(0)]).toString('base64'))],
    ['without padding', q(text.replaceAll('=', ''))],
    ['more padding', q(`${text}===`)],
    ['text behind the padding', q(`${text}AAAA`)],
    ['unused bits set', q(loose)],
    ['the other alphabet', q(`${text.replaceAll('+', '-').replaceAll('/', '_').slice(0, 20)}-_${text.slice(22)}`)],
    ['a space in front', q(` ${text}`)],
    ['a space behind', q(`${text} `)],
    ['a line end inside', q(`${text.slice(0, 20)}\n${text.slice(20)}`)],
    ['NUL behind', q(`${text}\0`)],
    ['NUL first', q(`\0${text}`)],
    ['no base64', q('!'.repeat(44))],
    ['letters outside ASCII', q('\u00e9'.repeat(22))],
    ['a number', '32'],
  ];
}

const ODD_NUMBERS = ['', '0', '1', '-1', '4096', '1048576', '9223372036854775808', '18446744073709551615'];

/** Numbers of 64 bits, which stand in strings. */
function decimalForms(text: string): Form[] {
  const n = BigInt(text);
  const near = [-4096n, -1n, 1n, 512n, 4096n].map((by) => String(n + by));
  const wrapped = [2n ** 32n, 2n ** 63n, 2n ** 64n].map((by) => String(n + by));
  const written = [`+${n}`, `0${n}`, ` ${n}`, `${n} `, `0x${n.toString(16)}`, `${n}.0`, `${n}\0`];
  return [...ODD_NUMBERS, ...near, ...wrapped, ...written].map((form) => [q(form), q(form)] as const);
}

/** Iteration counts: numbers of 32 bits. */
function countForms(text: string): Form[] {
  const small = ['0', '1', '999', '-1', '1.5', `${text}.0`, `${text}e0`, `0${text}`, `+${text}`, '0x3e8'];
  const large = [2n ** 31n - 1n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 32n + BigInt(text), 2n ** 64n];
  return [...small, ...large.map(String), '1e400', q(text), q('')].map((form) => [form, form] as const);
}

/** Values that have one form only: a few, since any other is refused by comparing. */
const fixedForms = (value: string | number): Form[] =>
  (typeof value === 'string' ? [`${value} `, `${value}\0`, value.toUpperCase()] : [0, -1, 2 ** 32 + value]).map(
    (form): Form => [q(form), q(form)],
  );

const FREE: Readonly<Record<string, (text: string) => Form[]>> = {
  'keyslots.0.kdf.salt': base64Forms,
  'keyslots.0.kdf.iterations': countForms,
  'keyslots.0.area.offset': decimalForms,
  'keyslots.0.area.size': decimalForms,
  'digests.0.salt': base64Forms,
  'digests.0.digest': base64Forms,
  'digests.0.iterations': countForms,
  'config.json_size': decimalForms,
  'config.keyslots_size': decimalForms,
};

/** The odd forms of the value at a path. */
export function formsOf(path: readonly string[], value: unknown): Form[] {
  const free = FREE[path.join('.')];
  const text = String(value);
  if (free !== undefined) return [...free(text), ['escaped', typeof value === 'string' ? escaped(text) : `${text} `]];
  return typeof value === 'string' || typeof value === 'number' ? fixedForms(value) : [];
}
