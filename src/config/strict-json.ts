/**
 * A strict JSON reader (RFC 8259) for documents that other people wrote and the guest measures.
 *
 * JSON.parse is not enough: it takes the last of two equal keys (two readers could then see two documents behind one
 * hash), accepts lone surrogates, turns 1e999 into Infinity and has no bound on nesting. Nesting is limited to 127
 * levels, the limit of the deployed verifiers, so hostile input cannot exhaust the stack either.
 */
import { DstackError } from '../errors.ts';
import { utf8 } from '../sys/utf8.ts';

/** Deepest nesting of arrays and objects. */
export const MAX_DEPTH = 127;

export type JsonObject = { [key: string]: unknown };

/** Numbers written with a fraction, an exponent or as `-0`: they are not integers, even if their value is whole. */
const fractional = new WeakMap<object, Set<string | number>>();

/** True if the number at `container[key]` was written as an integer (`2`, not `2.0`, `2e0` or `-0`). */
export function isIntegerLiteral(container: object, key: string | number): boolean {
  return Number.isInteger((container as JsonObject)[key]) && fractional.get(container)?.has(key) !== true;
}

/** True for a JSON object (not an array, not null). */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Parses one JSON document.
 * @throws JSON_INVALID with path, line and column; never with a piece of the text, except the name of a duplicate key
 */
export function parseStrictJson(text: string, path?: string): unknown {
  const reader = new Reader(text, path);
  return reader.document();
}

/** Parses UTF-8 bytes. @throws JSON_INVALID */
export function parseStrictJsonBytes(raw: Uint8Array, path: string): unknown {
  return parseStrictJson(utf8(raw, path), path);
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const LONE_SURROGATE = /\p{Surrogate}/u;
const INTEGER = /^-?[1-9][0-9]*$|^0$/;

class Reader {
  readonly #text: string;
  readonly #path: string | undefined;
  #at = 0;
  /** the last number read was not an integer literal */
  #fractional = false;

  constructor(text: string, path: string | undefined) {
    this.#text = text;
    this.#path = path;
  }

  document(): unknown {
    const value = this.#value(0);
    this.#space();
    if (this.#at < this.#text.length) this.#fail('text after the end of the document');
    return value;
  }

  #fail(what: string, field?: string): never {
    const before = this.#text.slice(0, this.#at);
    const line = before.split('\n').length;
    const column = this.#at - before.lastIndexOf('\n');
    throw new DstackError('JSON_INVALID', `not valid JSON: ${what} at line ${line} column ${column}`, {
      path: this.#path,
      field,
    });
  }

  #space(): void {
    for (; this.#at < this.#text.length; this.#at++) {
      const c = this.#text.charCodeAt(this.#at);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return;
    }
  }

  /** Consumes one character if it is next (after white space). */
  #take(character: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #value(depth: number): unknown {
    this.#space();
    const first = this.#text[this.#at];
    this.#fractional = false;
    switch (first) {
      case '{':
        return this.#object(depth + 1);
      case '[':
        return this.#array(depth + 1);
      case '"':
        return this.#string();
      case 't':
        return this.#word('true', true);
      case 'f':
        return this.#word('false', false);
      case 'n':
        return this.#word('null', null);
      case undefined:
        return this.#fail('unexpected end of the document');
      default:
        return this.#number();
    }
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) this.#fail('unexpected character');
    this.#at += word.length;
    return value;
  }

  #number(): number {
    NUMBER.lastIndex = this.#at;
    const literal = NUMBER.exec(this.#text)?.[0];
    if (literal === undefined) this.#fail('unexpected character');
    const value = Number(literal);
    if (!Number.isFinite(value)) this.#fail('number out of range');
    this.#at += literal.length;
    this.#fractional = !INTEGER.test(literal);
    return value;
  }

  /** Finds the end of the string and lets JSON.parse judge and decode the literal: it is strict here, and fast. */
  #string(): string {
    const start = this.#at;
    let end = start;
    do {
      end = this.#text.indexOf('"', end + 1);
      if (end < 0) this.#fail('a string without an end');
    } while (this.#escaped(end));
    let value: string;
    try {
      value = JSON.parse(this.#text.slice(start, end + 1)) as string;
    } catch {
      return this.#fail('invalid escape or control character in the string');
    }
    if (LONE_SURROGATE.test(value)) this.#fail('lone surrogate in the string');
    this.#at = end + 1;
    return value;
  }

  /** True if the quote at `at` stands behind an odd number of backslashes. */
  #escaped(at: number): boolean {
    let backslashes = 0;
    while (this.#text[at - 1 - backslashes] === '\\') backslashes++;
    return backslashes % 2 === 1;
  }

  #open(depth: number): void {
    if (depth > MAX_DEPTH) this.#fail(`nested deeper than ${MAX_DEPTH} levels`);
    this.#at++;
  }

  #mark(container: object, key: string | number): void {
    if (!this.#fractional) return;
    const keys = fractional.get(container) ?? new Set();
    fractional.set(container, keys.add(key));
  }

  #array(depth: number): unknown[] {
    this.#open(depth);
    const out: unknown[] = [];
    if (this.#take(']')) return out;
    do {
      out.push(this.#value(depth));
      this.#mark(out, out.length - 1);
      this.#fractional = false;
    } while (this.#take(','));
    if (!this.#take(']')) this.#fail('expected , or ]');
    return out;
  }

  #object(depth: number): JsonObject {
    this.#open(depth);
    const out: JsonObject = {};
    if (this.#take('}')) return out;
    do {
      this.#space();
      if (this.#text[this.#at] !== '"') this.#fail('expected a key in quotes');
      const key = this.#string();
      if (Object.hasOwn(out, key)) this.#fail(`duplicate key ${JSON.stringify(key)}`, key);
      if (!this.#take(':')) this.#fail('expected :');
      const value = this.#value(depth);
      // defineProperty: a plain assignment to the key __proto__ would change the prototype
      Object.defineProperty(out, key, { value, writable: true, enumerable: true, configurable: true });
      this.#mark(out, key);
      this.#fractional = false;
    } while (this.#take(','));
    if (!this.#take('}')) this.#fail('expected , or }');
    return out;
  }
}
