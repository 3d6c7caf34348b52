/**
 * How the agent's own calls to the KMS ended. It never calls one to find out: a KMS serves a fleet, and the public port
 * must not be a way to make guests call it.
 */
import { afterCall, type KmsContact, type KmsObserver } from '../../net/net.ts';

export class KmsCalls {
  #contact: KmsContact | undefined;

  /** The last call; undefined before the first one. */
  get contact(): KmsContact | undefined {
    return this.#contact;
  }

  readonly tell: KmsObserver = (thrown) => {
    this.#contact = afterCall(this.#contact, Math.floor(Date.now() / 1000), thrown);
  };
}
