/** Which methods of the official SDK a test has called: so that a new version with a new method is noticed. */
import type { DstackClient, TappdClient } from '@phala/dstack-sdk';

type Client = typeof DstackClient | typeof TappdClient;

/** What the SDK keeps for itself: it asks for the version before it uses newer features. */
const PRIVATE = /^(?:constructor|ensure\w+Supported)$/;

/** The public methods that a class has itself, in order of the alphabet. */
export const methodsOf = (client: Client): string[] =>
  Object.getOwnPropertyNames(client.prototype)
    .filter((name) => !PRIVATE.test(name))
    .sort();

/** A client that notes in `called` which methods the test itself calls, not those that they call in turn. */
export function noting<T extends object>(client: T, called: Set<string>): T {
  return new Proxy(client, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      called.add(String(name));
      return value.bind(target);
    },
  });
}
