/** The WireGuard end of the guest: its key pair, the configuration file, and what the interface says about handshakes. */
import { randomBytes } from 'node:crypto';
import { x25519PublicKey } from '../codec/x25519.ts';
import type { run } from '../sys/exec.ts';
import { wipe } from '../sys/files.ts';
import type { WireGuardAnswer } from './gateway-response.ts';
import { WG_INTERFACE } from './wireguard-names.ts';

/** the guest listens here; the firewall chain guards it */
export const WG_PORT = 9182;
const KEEPALIVE_S = 25;
const PROGRAM_TIMEOUT_MS = 30_000;

/** A new key pair in the text form of the `wg` tool (base64 of 32 bytes); the secret is clamped as `wg genkey` does. */
export function wireGuardKeys(): { readonly sk: string; readonly pk: string } {
  const scalar = randomBytes(32);
  scalar[0] = scalar[0]! & 0xf8;
  scalar[31] = (scalar[31]! & 0x7f) | 0x40;
  const sk = scalar.toString('base64');
  const pk = Buffer.from(x25519PublicKey(scalar)).toString('base64');
  wipe(scalar);
  return { sk, pk };
}

/** The text of the configuration file. Peers are sorted by key, so that the same answer gives the same bytes. */
export function wireGuardConfig(sk: string, { clientIp, servers }: WireGuardAnswer): string {
  const sorted = [...servers].sort((a, b) => (a.pk < b.pk ? -1 : a.pk > b.pk ? 1 : 0));
  const peers = sorted.flatMap(({ pk, ip, endpoint }) => [
    '[Peer]',
    `PublicKey = ${pk}`,
    `AllowedIPs = ${ip.split('/')[0]}/32`,
    `Endpoint = ${endpoint}`,
    `PersistentKeepalive = ${KEEPALIVE_S}`,
  ]);
  const head = ['[Interface]', `PrivateKey = ${sk}`, `ListenPort = ${WG_PORT}`, `Address = ${clientIp}/32`, ''];
  return [...head, ...peers, ''].join('\n');
}

/**
 * The peers with the Unix seconds of their latest handshake, 0 before the first one, from
 * `wg show <interface> latest-handshakes`.
 */
export function parseHandshakes(text: string): Map<string, number> {
  const out = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, peer = '', seconds] = /^(\S+)\t([0-9]{1,12})$/.exec(line) ?? [];
    if (seconds !== undefined) out.set(peer, Number(seconds));
  }
  return out;
}

/** Unix seconds of the latest handshake with any peer; undefined for none. */
export function latestHandshake(peers: ReadonlyMap<string, number>): number | undefined {
  const latest = Math.max(0, ...peers.values());
  return latest > 0 ? latest : undefined;
}

/** Asks the interface; one that is not there has no peers. @throws COMMAND_* */
export async function readHandshakes(exec: typeof run): Promise<Map<string, number>> {
  const { stdout } = await exec('wg', ['show', WG_INTERFACE, 'latest-handshakes'], {
    ok: [0, 1],
    readOnly: true,
    timeoutMs: PROGRAM_TIMEOUT_MS,
  });
  return parseHandshakes(stdout);
}

/** Takes the interface down, whatever its state. */
export async function wireGuardDown(exec: typeof run, config: string): Promise<void> {
  // wg-quick fails when the interface is not up, which is what we want it to be
  await exec('wgQuick', ['down', config], { ok: [0, 1], timeoutMs: PROGRAM_TIMEOUT_MS });
}

/** Brings the interface up with the file. @throws COMMAND_FAILED */
export async function wireGuardUp(exec: typeof run, config: string): Promise<void> {
  await exec('wgQuick', ['up', config], { timeoutMs: PROGRAM_TIMEOUT_MS });
}
