/** The guests a gateway knows: which WireGuard key has which address, and what the guest asked for. */
import { DstackError } from '../../src/errors.ts';

export interface Peer {
  /** WireGuard public key, base64 */
  readonly publicKey: string;
  /** address inside the VPN */
  readonly ip: string;
  /** app and instance as lower-case hex; the instance may be empty */
  readonly appId: string;
  readonly instanceId: string;
}

/** First host address for guests: below are the gateways themselves. */
const FIRST = 10;

/** Gives out addresses of one /16 network, such as `10.4`. A guest that comes again with its key keeps its address. */
export class PeerTable {
  readonly #prefix: string;
  readonly #byKey = new Map<string, Peer>();
  #next = FIRST;

  constructor(prefix: string) {
    if (!/^10\.\d{1,3}$/.test(prefix))
      throw new DstackError('INPUT_INVALID', `${prefix} is not a network such as 10.4`);
    this.#prefix = prefix;
  }

  get all(): readonly Peer[] {
    return [...this.#byKey.values()];
  }

  /** @returns the peer, and the one it replaces: an instance has one key at a time */
  register(publicKey: string, appId: string, instanceId: string): { peer: Peer; replaced: Peer | undefined } {
    const known = this.#byKey.get(publicKey);
    const older = instanceId === '' ? undefined : this.all.find((one) => one.instanceId === instanceId);
    const replaced = older === undefined || older.publicKey === publicKey ? undefined : older;
    if (replaced !== undefined) this.#byKey.delete(replaced.publicKey);
    const ip = known?.ip ?? replaced?.ip ?? this.#allocate();
    const peer = { publicKey, ip, appId, instanceId };
    this.#byKey.set(publicKey, peer);
    return { peer, replaced };
  }

  /** As after a restart without its state. */
  forget(): readonly Peer[] {
    const all = this.all;
    this.#byKey.clear();
    return all;
  }

  #allocate(): string {
    const taken = new Set(this.all.map(({ ip }) => ip));
    for (let tries = 0; tries < 65_000; tries++) {
      const number = this.#next;
      this.#next = number >= 65_000 ? FIRST : number + 1;
      const ip = `${this.#prefix}.${number >> 8}.${number & 255}`;
      if (!taken.has(ip) && (number & 255) !== 255 && (number & 255) !== 0) return ip;
    }
    throw new DstackError('INPUT_INVALID', 'all addresses of the gateway are taken');
  }
}
