/** JSON Schemas of the messages: their types from the table of the transport, what requests may say from the rules. */
import { hexPattern, QUERY_LIMIT } from '../../codec/prpc-json.ts';
import { type Field, fieldsOf, type MessageName } from '../../codec/prpc-messages.ts';
import type { FieldRule, RequestRule } from './request-rules.ts';

export type Json = Record<string, unknown>;

/** What we send is plainer than what we take. */
const ANSWERED_BYTES = { type: 'string', pattern: '^(?:[0-9a-f]{2})*$', description: 'bytes as hex' };
const SCALARS: Record<string, Json> = {
  string: { type: 'string' },
  bool: { type: 'boolean' },
  u32: { type: 'integer', minimum: 0, maximum: 0xffff_ffff },
  u64: { type: 'integer', format: 'int64', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
  i64: { type: 'integer', format: 'int64', minimum: -Number.MAX_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER },
};

export const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });

/** Bytes of a request: hex of either case, perhaps with 0x. */
function takenBytes({ bytes }: FieldRule): Json {
  const hex = (count?: string) => ({ type: 'string', pattern: hexPattern(count) });
  if (bytes === undefined) return { ...hex(), description: 'bytes as hex' };
  if ('most' in bytes) return { ...hex(`{0,${bytes.most}}`), description: `at most ${bytes.most} bytes as hex` };
  const [only, ...others] = bytes;
  if (others.length === 0) return { ...hex(`{${only}}`), description: `exactly ${only} bytes as hex` };
  return { anyOf: bytes.map((count) => hex(`{${count}}`)), description: `${bytes.join(' or ')} bytes as hex` };
}

function takenScalar(type: string, rule: FieldRule): Json {
  if (type === 'bytes') return takenBytes(rule);
  const { oneOf, noneOf, minLength, maximum, pattern } = rule;
  return {
    ...SCALARS[type],
    ...(oneOf === undefined ? {} : { enum: oneOf }),
    ...(noneOf === undefined ? {} : { not: { enum: noneOf } }),
    ...(minLength === undefined ? {} : { minLength }),
    ...(maximum === undefined ? {} : { maximum }),
    ...(pattern === undefined ? {} : { pattern }),
  };
}

const listOf = (items: Json): Json => ({ type: 'array', items });

/** Absent is null. */
const orNull = (schema: Json): Json => ({ ...schema, type: [schema['type'], 'null'] });

/** A field of an answer. */
function answeredField(field: Field): Json {
  if (typeof field.type === 'object') return field.repeated ? listOf(ref(field.type.message)) : ref(field.type.message);
  const one = field.type === 'bytes' ? ANSWERED_BYTES : { ...SCALARS[field.type] };
  if (field.repeated) return listOf(one);
  return field.optional ? orNull(one) : one;
}

/** An answer holds every field. */
export function answerSchema(name: MessageName): Json {
  if (name === 'Empty') return { type: 'null', description: 'nothing' };
  const fields = [...fieldsOf(name)];
  const required = fields.filter(([, field]) => !field.omitEmpty).map(([key]) => key);
  return {
    type: 'object',
    properties: Object.fromEntries(fields.map(([key, field]) => [key, answeredField(field)])),
    ...(required.length > 0 ? { required } : {}),
  };
}

/** Messages inside messages do not occur in requests. */
function takenField(field: Field, rule: FieldRule = {}): Json {
  const one = takenScalar(field.type as string, rule);
  if (field.repeated) return listOf(one);
  return field.optional ? orNull(one) : one;
}

const requiredOf = (rules: Readonly<Record<string, FieldRule>>): string[] =>
  Object.entries(rules).flatMap(([key, { required }]) => (required ? [key] : []));

/** A request may leave out what has a default that is accepted. Fields that nobody knows are ignored. */
export function requestSchema(name: MessageName, { fields = {}, when }: RequestRule): Json {
  const types = fieldsOf(name);
  const required = requiredOf(fields);
  const narrowed = (rules: Readonly<Record<string, FieldRule>>) =>
    Object.fromEntries(Object.entries(rules).map(([key, rule]) => [key, takenField(types.get(key) as Field, rule)]));
  return {
    type: 'object',
    properties: Object.fromEntries([...types].map(([key, field]) => [key, takenField(field, fields[key])])),
    ...(required.length > 0 ? { required } : {}),
    ...(when === undefined
      ? {}
      : {
          if: { properties: { [when.field]: { const: when.is } }, required: [when.field] },
          // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
          then: { properties: narrowed(when.fields), required: requiredOf(when.fields) },
        }),
  };
}

/** Query parameters of the GET form. */
export function queryParameters(name: MessageName, { fields = {} }: RequestRule): Json[] {
  return [...fieldsOf(name)].map(([key, { repeated, type }]) => {
    const one = takenScalar(type as string, fields[key] ?? {});
    return {
      name: repeated ? `${key}[]` : key,
      in: 'query',
      required: fields[key]?.required ?? false,
      schema: repeated ? { ...listOf(one), maxItems: QUERY_LIMIT } : one,
    };
  });
}
