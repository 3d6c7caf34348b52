/** Answers that are kept as long as what they were made of stays the same. */
import { sameBytes } from './bytes.ts';

/**
 * A function whose answer is kept with the object that it was made of, for as long as that object lives. Only for objects
 * that nobody changes: what is made of an event log is made again for the next, longer one, because that is another object.
 */
export function perObject<K extends object, V>(make: (object: K) => V): (object: K) => V {
  const known = new WeakMap<K, V>();
  return (object) => {
    let value = known.get(object);
    if (value === undefined) {
      value = make(object);
      known.set(object, value);
    }
    return value;
  };
}

/** What the last bytes became: a file that is read again and says the same gives the same object again. */
export class LastBytes<V> {
  #last: { readonly bytes: Uint8Array; readonly value: V } | undefined;

  /** @param make is called for other bytes than before; what it throws is not kept. The bytes are kept: nobody may change them */
  of(bytes: Uint8Array, make: (bytes: Uint8Array) => V): V {
    if (this.#last === undefined || !sameBytes(this.#last.bytes, bytes)) {
      this.#last = undefined;
      this.#last = { bytes, value: make(bytes) };
    }
    return this.#last.value;
  }
}
