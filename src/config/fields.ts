/**
 * Reading typed fields out of a parsed JSON object. Every refusal names the file, the dotted field and the value, so
 * that the person who wrote the document finds the place.
 */
import { fromHex } from '../codec/hex.ts';
import { DstackError, type ErrorCode } from '../errors.ts';
import { isIntegerLiteral, isObject, type JsonObject } from './strict-json.ts';

export interface FieldOptions {
  /** the file, for errors */
  readonly path?: string | undefined;
  /** error code, default DOCUMENT_INVALID */
  readonly code?: ErrorCode;
  /** the document holds keys: values never appear in errors */
  readonly secret?: boolean;
}

const short = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
};

/** A reader for one JSON object of a document. */
export class Fields {
  readonly #object: JsonObject;
  readonly #prefix: string;
  readonly #asked = new Set<string>();
  readonly options: FieldOptions;

  /** @throws DOCUMENT_INVALID (or the given code) if `value` is not an object */
  constructor(value: unknown, options: FieldOptions = {}, prefix = '') {
    this.options = options;
    this.#prefix = prefix;
    this.#object = {};
    if (!isObject(value)) this.fail('', 'must be an object', value);
    this.#object = value;
  }

  /** The dotted name of a field of this object; the object itself for an empty name. */
  name(field: string): string {
    if (field === '') return this.#prefix || 'document';
    return this.#prefix === '' ? field : `${this.#prefix}.${field}`;
  }

  /** Refuses a field: `<dotted name> <what>`. */
  fail(field: string, what: string, value?: unknown, code?: ErrorCode): never {
    const name = this.name(field);
    throw new DstackError(code ?? this.options.code ?? 'DOCUMENT_INVALID', `field ${name} ${what}`, {
      path: this.options.path,
      field: name,
      value: this.options.secret || value === undefined ? undefined : short(value),
    });
  }

  has(field: string): boolean {
    this.#asked.add(field);
    return Object.hasOwn(this.#object, field);
  }

  keys(): string[] {
    return Object.keys(this.#object);
  }

  /** Fields of the object that nobody has asked for so far. */
  ignored(): string[] {
    return this.keys().filter((key) => !this.#asked.has(key));
  }

  /** The raw value; undefined when absent. */
  raw(field: string): unknown {
    return this.has(field) ? this.#object[field] : undefined;
  }

  /** True when the field is a number written as an integer. */
  isInteger(field: string): boolean {
    return this.has(field) && isIntegerLiteral(this.#object, field);
  }

  #required<T>(field: string, value: T | undefined): T {
    if (value === undefined) this.fail(field, 'is missing');
    return value;
  }

  /** Fields other than `known` are refused. */
  denyUnknown(known: readonly string[]): void {
    for (const key of this.keys()) {
      if (!known.includes(key)) this.fail(key, `is unknown: expected one of ${known.join(', ')}`);
    }
  }

  string(field: string): string {
    return this.#required(field, this.optionalString(field));
  }

  /** Absent and null both mean undefined. */
  optionalString(field: string): string | undefined {
    const value = this.raw(field);
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'string') this.fail(field, 'must be a string', value);
    return value;
  }

  boolean(field: string, fallback: boolean): boolean {
    const value = this.raw(field);
    if (value === undefined) return fallback;
    if (typeof value !== 'boolean') this.fail(field, 'must be true or false', value);
    return value;
  }

  /** A whole number from 0 to `max`. */
  integer(field: string, fallback: number, max: number): number {
    const value = this.raw(field);
    if (value === undefined) return fallback;
    if (!this.isInteger(field) || (value as number) < 0 || (value as number) > max) {
      this.fail(field, `must be a whole number from 0 to ${max}`, value);
    }
    return value as number;
  }

  /** Bytes as hex without a prefix, either letter case. Absent means empty; `length` is exact when given. */
  hex(field: string, length?: number): Uint8Array {
    return this.optionalHex(field, length) ?? new Uint8Array();
  }

  requiredHex(field: string, length?: number): Uint8Array {
    return this.#required(field, this.optionalHex(field, length));
  }

  optionalHex(field: string, length?: number): Uint8Array | undefined {
    const text = this.optionalString(field);
    if (text === undefined) return undefined;
    if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) {
      this.fail(field, 'must be hex text (an even number of the digits 0-9 a-f, no 0x)', text);
    }
    if (length !== undefined && text.length !== 2 * length) {
      this.fail(field, `must be hex of ${length} bytes, not of ${text.length / 2}`, text);
    }
    return fromHex(text);
  }

  /** An array; absent means empty. */
  array(field: string): unknown[] {
    const value = this.raw(field);
    if (value === undefined) return [];
    if (!Array.isArray(value)) this.fail(field, 'must be an array', value);
    return value;
  }

  strings(field: string): string[] {
    const values = this.array(field);
    values.forEach((value, i) => {
      if (typeof value !== 'string') this.fail(`${field}[${i}]`, 'must be a string', value);
    });
    return values as string[];
  }

  /** A reader for a nested object; undefined when absent or null. */
  object(field: string): Fields | undefined {
    const value = this.raw(field);
    if (value === undefined || value === null) return undefined;
    return new Fields(value, this.options, this.name(field));
  }

  /** Readers for the objects of an array; absent means none. */
  objects(field: string): Fields[] {
    return this.array(field).map((value, i) => new Fields(value, this.options, this.name(`${field}[${i}]`)));
  }
}
