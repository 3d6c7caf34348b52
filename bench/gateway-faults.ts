/**
 * `npm run bench -- gateway`: how long an app is without its page when something happens to its gateway. Two network
 * namespaces, real WireGuard, the real checker with its real periods; three cases at the same time, about five minutes.
 */
import { duration } from '../src/ui.ts';
import { netnsMissing } from '../test/net/netns.ts';
import { Tunnel } from '../test/net/tunnel.ts';

const LIMIT_MS = 420_000;
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

interface Case {
  readonly name: string;
  /** makes the fault happen; resolves when the time starts to count */
  readonly fault: (tunnel: Tunnel, first: Awaited<ReturnType<Tunnel['gateway']>>) => Promise<void>;
  readonly gateways: readonly number[];
}

const CASES: readonly Case[] = [
  {
    name: 'gateway restarts and forgets its guests',
    gateways: [1],
    fault: async (tunnel, first) => {
      await first.stop();
      await tunnel.gateway(1);
    },
  },
  {
    name: 'gateway is down for 60 s, then back without its state',
    gateways: [1],
    fault: async (tunnel, first) => {
      await first.stop();
      await sleep(60_000);
      await tunnel.gateway(1);
    },
  },
  {
    name: 'one of two gateways dies',
    gateways: [1, 2],
    fault: async (_, first) => first.stop(),
  },
];

async function measure({ name, gateways, fault }: Case): Promise<string> {
  const tunnel = await Tunnel.open();
  try {
    const started = [];
    for (const n of gateways) started.push(await tunnel.gateway(n));
    await tunnel.gatewayUrls(...gateways);
    tunnel.checker();
    const addresses = () => gateways.map((n) => `10.${3 + n}.0.10`);
    const page = () => addresses().some((ip) => tunnel.page(ip, 1) !== undefined);
    if (!(await until(page, 60_000))) return `${name}: the tunnel never came up`;
    await sleep(20_000 + Math.random() * 40_000); // somewhere between two handshakes
    await fault(tunnel, started[0]!);
    const began = performance.now();
    const back = await until(page, LIMIT_MS);
    const took = performance.now() - began;
    return back ? `${name}: page again after ${duration(took)}` : `${name}: not back within ${duration(LIMIT_MS)}`;
  } finally {
    await tunnel.close();
  }
}

async function until(holds: () => boolean, limitMs: number): Promise<boolean> {
  for (const end = performance.now() + limitMs; performance.now() < end; await sleep(500)) if (holds()) return true;
  return false;
}

const missing = netnsMissing('iptables', 'iptables-restore', 'wg', 'wg-quick', 'wireguard-go', 'curl');
if (missing === undefined) {
  // each case to its end, so that none leaves a namespace behind
  const failed = (name: string) => (thrown: unknown) => `${name}: ${thrown}`;
  const lines = await Promise.all(CASES.map((one) => measure(one).catch(failed(one.name))));
  console.log(lines.join('\n'));
} else {
  console.error(`cannot run here: ${missing}`);
  process.exitCode = 1;
}
