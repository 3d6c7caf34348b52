/**
 * The gateway's end of the tunnels: a real WireGuard interface, of the kernel where it has the module, else wireguard-go on
 * a tun device. Peers are added and taken away with the `wg` tool.
 */
import { spawnSync } from 'node:child_process';
import { wireGuardKeys } from '../../src/net/wireguard.ts';
import { SAFE_PATH } from '../../src/sys/programs.ts';

export interface WireGuardEndOptions {
  readonly interface: string;
  /** UDP port; 0 = any free one */
  readonly port: number;
  /** address of the gateway inside the VPN with its prefix length, such as 10.4.0.1/16 */
  readonly address: string;
  /** process whose network namespace gets the interface; its UDP socket stays in ours (wireguard.com, network namespaces) */
  readonly namespaceOf?: number;
}

const env = { PATH: SAFE_PATH, LC_ALL: 'C' };

/** Output of a program. @throws Error with its last words */
function program(name: string, args: readonly string[], input = ''): string {
  const done = spawnSync(name, args, { encoding: 'utf8', env, input, timeout: 20_000 });
  if (done.status === 0) return done.stdout;
  const why = done.error?.message ?? done.stderr.trim().split('\n').at(-1);
  throw new Error(`${name} ${args.join(' ')} failed: ${why}`);
}

/** Words in front of a command that put it into the network namespace of a process. */
export const inNamespaceOf = (pid: number | undefined): string[] =>
  pid === undefined ? [] : ['nsenter', `--net=/proc/${pid}/ns/net`];

export class WireGuardEnd {
  readonly options: WireGuardEndOptions;
  /** base64 */
  readonly publicKey: string;
  readonly userspace: boolean;
  /** UDP port that is listened on */
  readonly port: number;

  private constructor(options: WireGuardEndOptions, publicKey: string, userspace: boolean) {
    this.options = options;
    this.publicKey = publicKey;
    this.userspace = userspace;
    this.port = Number(this.#wg(['show', options.interface, 'listen-port']).trim());
  }

  /** Makes the interface, replacing one of that name. `sk` keeps the identity of an earlier one. */
  static open(options: WireGuardEndOptions, keys = wireGuardKeys()): WireGuardEnd {
    const { interface: name, port, address, namespaceOf } = options;
    spawnSync('ip', ['link', 'delete', name], { env });
    const kernel = spawnSync('ip', ['link', 'add', name, 'type', 'wireguard'], { env }).status === 0;
    // stdio: wireguard-go goes on in the background and would hold our pipes open
    if (!kernel && spawnSync('wireguard-go', [name], { env, stdio: 'ignore' }).status !== 0) {
      throw new Error('this kernel has no WireGuard, and wireguard-go cannot be started (Debian package wireguard-go)');
    }
    // wireguard-go goes into the background before it has looked at its interface, which must not move until then: an
    // answer of `wg` shows that it has
    program('wg', ['show', name]);
    const there = (words: readonly string[], input?: string) => {
      const [head = '', ...rest] = [...inNamespaceOf(namespaceOf), ...words];
      return program(head, rest, input);
    };
    if (namespaceOf !== undefined) program('ip', ['link', 'set', name, 'netns', String(namespaceOf)]);
    const listen = port === 0 ? [] : ['listen-port', String(port)];
    // through cat: Node hands children a socket as stdin, which cannot be opened as /dev/stdin
    const piped = ['sh', '-c', 'cat | "$@"', 'sh'];
    there([...piped, 'wg', 'set', name, ...listen, 'private-key', '/dev/stdin'], `${keys.sk}\n`);
    there(['ip', '-4', 'address', 'add', address, 'dev', name]);
    there(['ip', 'link', 'set', 'mtu', '1420', 'up', 'dev', name]);
    return new WireGuardEnd(options, keys.pk, !kernel);
  }

  #wg(args: readonly string[]): string {
    const [head = '', ...rest] = [...inNamespaceOf(this.options.namespaceOf), 'wg', ...args];
    return program(head, rest);
  }

  addPeer(publicKey: string, ip: string): void {
    this.#wg(['set', this.options.interface, 'peer', publicKey, 'allowed-ips', `${ip}/32`]);
  }

  removePeer(publicKey: string): void {
    this.#wg(['set', this.options.interface, 'peer', publicKey, 'remove']);
  }

  /** Unix seconds of the latest handshake by public key; 0 = never. */
  handshakes(): Map<string, number> {
    const text = this.#wg(['show', this.options.interface, 'latest-handshakes']);
    const lines = text.trim().split('\n');
    return new Map(
      lines.filter((line) => line !== '').map((line) => [line.split('\t')[0]!, Number(line.split('\t')[1])]),
    );
  }

  close(): void {
    const [head = '', ...rest] = [
      ...inNamespaceOf(this.options.namespaceOf),
      'ip',
      'link',
      'delete',
      this.options.interface,
    ];
    spawnSync(head, rest, { env });
  }
}
