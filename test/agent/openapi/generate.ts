/** Requests that a schema of our OpenAPI document allows, for the keywords that it uses, and such that it does not allow. */
import fc from 'fast-check';

export type Json = Record<string, unknown>;
/** Words that mean something somewhere: chance does not find them. */
const WORDS = [
  '',
  'system-ready',
  'app-id',
  'raw',
  'sha256',
  'k256',
  'ed25519',
  'secp256k1_prehashed',
  'rsa',
  '0x',
  'null',
];

type Lookup = (name: string) => Json;

function text(schema: Json): fc.Arbitrary<unknown> {
  const { enum: names, pattern, minLength = 0 } = schema as { enum?: string[]; pattern?: string; minLength?: number };
  if (names !== undefined) return fc.constantFrom(...names);
  if (pattern !== undefined) {
    const any = fc.stringMatching(new RegExp(pattern, 'u'), { size: 'small' });
    const most = /(\d+)\}\$$/.exec(pattern)?.[1]; // bytes as hex: the largest number of them is a case of its own
    return most === undefined ? any : fc.oneof(any, fc.constant('aB'.repeat(Number(most))));
  }
  const words = WORDS.filter(({ length }) => length >= minLength);
  return fc.oneof(
    fc.constantFrom(...words),
    fc.string({ minLength }),
    fc.string({ minLength, unit: 'grapheme' }),
    fc.constant('a'.repeat(3000)),
  );
}

/** Values that a schema allows; those of `not` have to be filtered by whoever validates. */
export function allowed(schema: Json, lookup: Lookup): fc.Arbitrary<unknown> {
  const {
    $ref: named,
    anyOf,
    type,
    items,
    properties,
    required,
  } = schema as {
    $ref?: string;
    anyOf?: Json[];
    type?: string | string[];
    items?: Json;
    properties?: Record<string, Json>;
    required?: string[];
  };
  if (named !== undefined) return allowed(lookup(named), lookup);
  if (anyOf !== undefined) return fc.oneof(...anyOf.map((each) => allowed(each, lookup)));
  if (Array.isArray(type)) return fc.oneof(...type.map((each) => allowed({ ...schema, type: each }, lookup)));
  if (type === 'null') return fc.constant(null);
  if (type === 'boolean') return fc.boolean();
  if (type === 'integer') {
    const { minimum = 0, maximum = 1 } = schema as { minimum?: number; maximum?: number };
    const small = fc.integer({ min: Math.max(minimum, -(2 ** 31)), max: Math.min(maximum, 2 ** 31 - 1) });
    return fc.oneof(small, fc.constantFrom(minimum, maximum));
  }
  if (type === 'string') return text(schema);
  if (type === 'array') return fc.array(allowed(items ?? {}, lookup), { maxLength: 5 });
  if (type !== 'object') throw new Error(`nothing is made of ${JSON.stringify(schema)}`);
  return object(schema, properties ?? {}, required ?? [], lookup);
}

function object(schema: Json, properties: Record<string, Json>, required: string[], lookup: Lookup) {
  const model = (of: Record<string, Json>) =>
    Object.fromEntries(Object.entries(of).map(([key, each]) => [key, allowed(each, lookup)]));
  const plain = fc.record(model(properties), { requiredKeys: required });
  const { if: condition, then: narrowed } = schema as {
    if?: { properties: Record<string, { const: string }> };
    then?: { properties: Record<string, Json>; required: string[] };
  };
  if (condition === undefined || narrowed === undefined) return plain;
  const [[field, { const: value }] = ['', { const: '' }]] = Object.entries(condition.properties);
  const special = fc.record({ ...model({ ...properties, ...narrowed.properties }), [field]: fc.constant(value) });
  return fc.oneof(plain, special);
}

/** A request with one field that is something else, or not there; whoever validates filters what is still allowed. */
export function spoiled(properties: Record<string, Json>, valid: fc.Arbitrary<Json>): fc.Arbitrary<Json> {
  const other = fc.oneof(
    fc.constantFrom<unknown>(...WORDS, 253_402_300_800, 'ab'.repeat(31), 'ab'.repeat(33), 'ab'.repeat(65)),
    fc.constantFrom<unknown>(
      null,
      undefined,
      true,
      -1,
      0.5,
      2 ** 60,
      '',
      'x',
      '0',
      'abc',
      'é',
      [],
      [1],
      {},
      'ab'.repeat(65),
    ),
    fc.string(),
    fc.stringMatching(/^(?:[0-9a-f]{2}){0,70}$/),
  );
  return fc
    .tuple(valid, fc.constantFrom(...Object.keys(properties)), other)
    .map(([request, key, value]) => JSON.parse(JSON.stringify({ ...request, [key]: value })) as Json);
}
