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
