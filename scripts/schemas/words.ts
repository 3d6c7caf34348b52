/** Words for writing JSON Schemas (draft 2020-12) shortly. An object lists its fields; one that ends with `?` may be absent. */

export interface Schema {
  readonly [keyword: string]: unknown;
}

export const text: Schema = { type: 'string' };
export const flag: Schema = { type: 'boolean' };
export const count: Schema = { type: 'integer', minimum: 0 };
export const time: Schema = { type: 'string', format: 'date-time' };
/** hex digits of so many bytes, or of any number */
export const hex = (bytes?: number): Schema => ({
  type: 'string',
  pattern: bytes === undefined ? '^([0-9a-f]{2})*$' : `^[0-9a-f]{${2 * bytes}}$`,
});
export const words = (...all: readonly string[]): Schema => ({ enum: all });
export const list = (items: Schema): Schema => ({ type: 'array', items });
export const orNull = (schema: Schema): Schema => ({ anyOf: [schema, { type: 'null' }] });
export const oneOf = (...all: readonly Schema[]): Schema => ({ anyOf: all });
export const told = (schema: Schema, description: string): Schema => ({ ...schema, description });

export function object(fields: Readonly<Record<string, Schema>>): Schema {
  const names = Object.keys(fields);
  return {
    type: 'object',
    required: names.filter((name) => !name.endsWith('?')),
    properties: Object.fromEntries(names.map((name) => [name.replace(/\?$/, ''), fields[name]])),
  };
}

/** A document of ours: the version stands in front. */
export const own = (fields: Readonly<Record<string, Schema>>): Schema =>
  object({
    version: { const: 1, description: 'of this form; further fields may be added without a new one' },
    ...fields,
  });
