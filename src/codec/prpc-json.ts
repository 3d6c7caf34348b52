/**
 * The JSON mapping of prpc messages: bytes as hex, 64-bit numbers as numbers, unset optional fields as null, field names
 * as in the proto (dstack RPC transport, JSON mapping). Output is compact and pure ASCII.
 */
import { DstackError } from '../errors.ts';
import { toHex } from './hex.ts';
import { jsonString, LastingText } from './json-text.ts';
import { defaultOf, type Field, fieldsOf, type Message, type MessageName, type ScalarType } from './prpc-messages.ts';

const U32_MAX = 0xffff_ffff;
const LONE_SURROGATE = /\p{Surrogate}/u;

const bad = (field: string, message: string, value?: unknown): DstackError =>
  new DstackError('RPC_REQUEST_INVALID', `field ${field} ${message}`, {
    field,
    value: typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : undefined,
  });

/** One field of a message, ready to be written. */
interface FieldWriter {
  readonly key: string;
  /** `"key":` */
  readonly start: string;
  readonly field: Field;
  readonly write: (value: unknown) => string;
}

const WRITERS = new Map<MessageName, readonly FieldWriter[]>();

function writersOf(name: MessageName): readonly FieldWriter[] {
  let writers = WRITERS.get(name);
  if (writers === undefined) {
    writers = [...fieldsOf(name)].map(([key, field]) => ({
      key,
      start: `${jsonString(key)}:`,
      field,
      write: field.repeated ? listWriter(valueWriter(field)) : valueWriter(field),
    }));
    WRITERS.set(name, writers);
  }
  return writers;
}

const listWriter =
  (write: FieldWriter['write']): FieldWriter['write'] =>
  (list) =>
    `[${(list as readonly unknown[]).map(write).join(',')}]`;

function valueWriter({ type, lasting }: Field): FieldWriter['write'] {
  if (typeof type === 'object')
    return (value) => writeMessage(type.message as MessageName, value as Record<string, unknown>);
  if (type === 'bytes') return (value) => `"${toHex(value as Uint8Array)}"`;
  if (type !== 'string') return String;
  if (!lasting) return (value) => jsonString(value as string);
  const kept = new LastingText();
  return (value) => kept.literal(value as string);
}

/** Encodes a message as compact ASCII JSON; `Empty` is `null`. */
export function encodeJson<N extends MessageName>(name: N, message: Message<N>): string {
  return name === 'Empty' ? 'null' : writeMessage(name, message as Record<string, unknown>);
}

function writeMessage(name: MessageName, message: Record<string, unknown>): string {
  let out = '';
  for (const { key, start, field, write } of writersOf(name)) {
    const value = message[key];
    if (field.omitEmpty && (value as Uint8Array).length === 0) continue;
    out += `${out === '' ? '{' : ','}${start}${value === undefined ? 'null' : write(value)}`;
  }
  return out === '' ? '{}' : `${out}}`;
}

/**
 * Decodes the JSON body of a request; an empty body has all defaults; unknown fields are ignored.
 * @throws RPC_REQUEST_INVALID naming the field (secret values never appear: only names and types are told for bytes)
 */
export function decodeJson<N extends MessageName>(name: N, text: string): Message<N> {
  if (name === 'Empty' || text === '') return fromJsonValue(name, {}, '') as Message<N>;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    throw new DstackError('RPC_REQUEST_INVALID', 'the request body is not valid JSON', {
      field: 'body',
      cause: jsonComplaint(thrown),
    });
  }
  const twice = repeatedKey(text);
  if (twice !== undefined && fieldsOf(name).has(twice)) throw bad(twice, 'occurs twice');
  return fromJsonValue(name, value, '') as Message<N>;
}

/**
 * Decodes a JSON value that was parsed already, as `decodeJson` does. Answers with keys in them are parsed once only: each
 * text of a key is a copy that nobody can wipe.
 * @throws RPC_REQUEST_INVALID naming the field
 */
export function decodeJsonValue<N extends MessageName>(name: N, value: unknown): Message<N> {
  return fromJsonValue(name, value, '') as Message<N>;
}

/**
 * The first key that the outermost object of valid JSON text has twice. JSON.parse takes the last of them and other readers
 * the first: two programs would see two requests. Objects inside do not occur in requests.
 */
function repeatedKey(text: string): string | undefined {
  const seen = new Set<string>();
  let depth = 0;
  let atKey = false;
  for (let at = 0; at < text.length; at++) {
    const c = text[at];
    if (c === '{' || c === '[') atKey = ++depth === 1;
    else if (c === '}' || c === ']') depth--;
    else if (c === ',') atKey = depth === 1;
    else if (c === '"') {
      const end = endOfString(text, at);
      if (atKey) {
        const literal = text.slice(at + 1, end);
        const key = literal.includes('\\') ? (JSON.parse(`"${literal}"`) as string) : literal;
        if (seen.has(key)) return key;
        seen.add(key);
        atKey = false;
      }
      at = end;
    }
  }
  return undefined;
}

/** The place of the quotation mark that ends the string beginning at `start`. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text[end - 1 - backslashes] === '\\') backslashes++;
    if (backslashes % 2 === 0) return end;
  }
}

/** What the parser complains about, without the piece of the body that some runtimes quote: it may hold a secret. */
function jsonComplaint(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  const at = text.match(/position (\d+)/)?.[1];
  return at === undefined ? 'syntax error' : `syntax error at position ${at}`;
}

function fromJsonValue(name: MessageName, value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    if (path !== '') throw bad(path, `must be an object, found ${kind(value)}`);
    throw new DstackError('RPC_REQUEST_INVALID', `the request body must be a JSON object, found ${kind(value)}`, {
      field: 'body',
    });
  }
  const out: Record<string, unknown> = {};
  for (const [key, field] of fieldsOf(name)) {
    const where = path === '' ? key : `${path}.${key}`;
    const given = Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
    if (given === undefined || (given === null && field.optional)) out[key] = defaultOf(field);
    else if (field.repeated) {
      if (!Array.isArray(given)) throw bad(where, `must be an array, found ${kind(given)}`);
      out[key] = given.map((item, index) => scalarFromJson(field, item, `${where}[${index}]`));
    } else out[key] = scalarFromJson(field, given, where);
  }
  return out;
}

const kind = (value: unknown): string =>
  value === null ? 'null' : Array.isArray(value) ? 'an array' : `a ${typeof value}`;

function scalarFromJson(field: Field, value: unknown, where: string): unknown {
  const { type } = field;
  if (typeof type === 'object') return fromJsonValue(type.message as MessageName, value, where);
  switch (type) {
    case 'string':
      if (typeof value !== 'string') throw bad(where, `must be a string, found ${kind(value)}`);
      // it has no UTF-8 form: a replacement character would make another name of it
      if (LONE_SURROGATE.test(value)) throw bad(where, 'has half of a surrogate pair');
      return value;
    case 'bytes':
      if (typeof value !== 'string') throw bad(where, `must be a string of hex digits, found ${kind(value)}`);
      return hexBytes(value, where);
    case 'bool':
      if (typeof value !== 'boolean') throw bad(where, `must be true or false, found ${kind(value)}`);
      return value;
    default:
      if (typeof value !== 'number') throw bad(where, `must be a number, found ${kind(value)}`);
      return checkedNumber(type, value, where);
  }
}

/** The hex that `hexBytes` takes, as a regular expression of JSON Schema. @param count a quantifier for the bytes: `*`, `{64}`, `{0,64}` */
export const hexPattern = (count = '*'): string => `^(?:0x)*(?:[0-9a-fA-F]{2})${count}$`;

/** Hex of either case; any number of leading `0x` is removed. @throws RPC_REQUEST_INVALID */
function hexBytes(text: string, where: string): Uint8Array {
  const digits = text.replace(/^(?:0x)+/, '');
  if (digits.length % 2 !== 0) throw bad(where, `has an odd number of hex digits (${digits.length})`);
  if (!/^[0-9a-fA-F]*$/.test(digits)) throw bad(where, 'has a character that is not a hex digit');
  return new Uint8Array(Buffer.from(digits, 'hex'));
}

function checkedNumber(type: ScalarType, value: number, where: string): number {
  if (!Number.isInteger(value)) throw bad(where, 'must be a whole number', value);
  if (type !== 'i64' && value < 0) throw bad(where, 'must not be negative', value);
  if (type === 'u32' ? value > U32_MAX : !Number.isSafeInteger(value)) throw bad(where, 'is out of range', value);
  return value;
}

/** Items of a list in a query. */
export const QUERY_LIMIT = 1024;

/**
 * Decodes a GET query as a message: form encoding, numbers and booleans as text, lists as `alt_names[0]=a`.
 * @throws RPC_REQUEST_INVALID naming the field
 */
export function decodeQuery<N extends MessageName>(name: N, query: string): Message<N> {
  const value: Record<string, unknown> = {};
  const fields = fieldsOf(name);
  const lists = new Map<string, { order: number; text: string }[]>();
  for (const part of query.split('&')) {
    if (part === '') continue;
    const [rawKey = '', rawText = ''] = cut(part, '=');
    const key = formDecoded(rawKey, 'query');
    const [, base = key, index] = /^([^[\]]+)\[(\d*)\]$/.exec(key) ?? [];
    const field = fields.get(base);
    if (field === undefined) continue;
    const text = formDecoded(rawText, base);
    if (!field.repeated) value[base] = scalarText(field, text, base);
    else {
      const list = lists.get(base) ?? [];
      if (list.length >= QUERY_LIMIT) throw bad(base, `has more than ${QUERY_LIMIT} items`);
      list.push({ order: index === undefined || index === '' ? list.length : Number(index), text });
      lists.set(base, list);
    }
  }
  for (const [base, list] of lists) {
    const field = fields.get(base) as Field;
    value[base] = list.sort((a, b) => a.order - b.order).map((item) => scalarText(field, item.text, base));
  }
  return fromJsonValue(name, value, '') as Message<N>;
}

const cut = (text: string, separator: string): [string, string] => {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
};

function formDecoded(text: string, where: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw bad(where, 'is not correctly percent-encoded UTF-8');
  }
}

/** The JSON value that a piece of query text stands for. */
function scalarText(field: Field, text: string, where: string): unknown {
  if (field.type === 'string' || field.type === 'bytes') return text;
  if (field.type === 'bool') {
    if (text !== 'true' && text !== 'false') throw bad(where, 'must be true or false', text);
    return text === 'true';
  }
  if (!/^-?\d{1,20}$/.test(text)) throw bad(where, 'must be a number', text);
  return Number(text);
}
