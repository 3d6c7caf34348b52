/** A guest and gateways in two network namespaces, joined by a cable: everything on it is real but the evidence. */
import type { ChildProcess } from 'node:child_process';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GATEWAY_APP_ID } from '../../simulator/gateway/gateway-certificate.ts';
import { freshTlsKey, privateKeyPem } from '../../src/keys/tls-key.ts';
import { issueCertificate } from '../../src/x509/x509.ts';
import { NetworkNamespace } from './netns.ts';

const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
/** the two ends of the cable; gateway n listens on .n */
export const GUEST_IP = '10.99.0.100';
export const gatewayIp = (n: number): string => `10.99.0.${n}`;

/** What the guest's app answers on port 8080. */
const APP = `require('node:http').createServer((_, r) => r.end('the page')).listen(8080, () => console.log('up'));`;

export class Gateway {
  readonly process: ChildProcess;
  readonly events: Record<string, unknown>[] = [];
  readonly #ready: Promise<void>;

  constructor(process: ChildProcess) {
    this.process = process;
    let rest = '';
    this.#ready = new Promise((resolve, reject) => {
      process.once('exit', () => reject(new Error('the gateway ended')));
      process.stdout?.on('data', (chunk: Buffer) => {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) this.events.push(JSON.parse(line));
        if (lines.length > 0) resolve();
      });
    });
  }

  ready(): Promise<void> {
    return this.#ready;
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null) return;
    this.process.kill('SIGTERM');
    await once(this.process, 'exit');
  }
}

export class Tunnel {
  readonly dir: string;
  readonly gatewaySide: NetworkNamespace;
  readonly guestSide: NetworkNamespace;
  readonly #started: ChildProcess[] = [];
  readonly #gateways: Gateway[] = [];

  private constructor(dir: string, gatewaySide: NetworkNamespace, guestSide: NetworkNamespace) {
    this.dir = dir;
    this.gatewaySide = gatewaySide;
    this.guestSide = guestSide;
  }

  static async open(): Promise<Tunnel> {
    const dir = await mkdtemp(join(tmpdir(), 'tunnel-'));
    const tunnel = new Tunnel(dir, await NetworkNamespace.open(), await NetworkNamespace.open());
    const { gatewaySide, guestSide } = tunnel;
    gatewaySide.sh(`ip link add cable type veth peer name eth0 && ip link set eth0 netns ${guestSide.pid}`);
    for (const n of [1, 2]) gatewaySide.sh(`ip address add ${gatewayIp(n)}/24 dev cable`);
    gatewaySide.sh('ip link set cable up');
    guestSide.sh(`ip address add ${GUEST_IP}/24 dev eth0 && ip link set eth0 up`);
    const key = freshTlsKey();
    const root = await issueCertificate({ commonName: 'Test Root', ca: { pathLength: 1 } }, key);
    await writeFile(join(dir, 'ca.pem'), root);
    await writeFile(join(dir, 'ca.key'), privateKeyPem(key), { mode: 0o600 });
    await mkdir(join(dir, '.host-shared'));
    await tunnel.document('app-compose.json', {
      manifest_version: 2,
      name: 'a',
      runner: 'bash',
      gateway_enabled: true,
    });
    await tunnel.document('.appkeys.json', {
      disk_crypt_key: 'ab'.repeat(32),
      k256_key: 'ab'.repeat(32),
      k256_signature: '',
      gateway_app_id: Buffer.from(GATEWAY_APP_ID).toString('hex'),
      ca_cert: root,
      key_provider: { None: { key: privateKeyPem(key) } },
    });
    await tunnel.gatewayUrls(1);
    const app = guestSide.start(APP);
    tunnel.#started.push(app);
    await once(app.stdout!, 'data');
    return tunnel;
  }

  async close(): Promise<void> {
    for (const gateway of this.#gateways) await gateway.stop().catch(() => {});
    for (const one of this.#started) one.kill();
    // ends wireguard-go, which would keep the namespace alive without its holder
    this.guestSide.sh('ip link delete dstack-wg0 2>/dev/null || true');
    this.gatewaySide.close();
    this.guestSide.close();
    await rm(this.dir, { recursive: true, force: true });
  }

  document(name: string, content: object): Promise<void> {
    return writeFile(join(this.dir, '.host-shared', name), JSON.stringify(content));
  }

  gatewayUrls(...numbers: number[]): Promise<void> {
    const urls = numbers.map((n) => `https://${gatewayIp(n)}:8444`);
    return this.document('.sys-config.json', { vm_config: '{}', gateway_urls: urls });
  }

  /** Starts gateway n. */
  async gateway(n = 1, ...faults: string[]): Promise<Gateway> {
    const ip = gatewayIp(n);
    const gateway = new Gateway(
      this.gatewaySide.spawn([
        ...[BUN, 'simulator/dstack-sim.ts', 'gateway', '--listen', `${ip}:8444`, '--name', ip],
        ...['--ca-cert', join(this.dir, 'ca.pem'), '--ca-key', join(this.dir, 'ca.key')],
        ...['--endpoint', `${ip}:${51_820 + n}`, '--interface', `dstack-gw${n}`, '--network', `10.${3 + n}`],
        ...faults,
      ]),
    );
    this.#gateways.push(gateway);
    await gateway.ready();
    return gateway;
  }

  #guestCommand = (what: string): string[] => [BUN, 'test/net/guest-process.ts', this.dir, what];

  /** One refresh of the guest. */
  guest(what: 'refresh' | 'force'): Promise<{ outcome?: string; code?: string; chain?: string }> {
    const process = this.guestSide.spawn(this.#guestCommand(what));
    let text = '';
    process.stdout?.on('data', (chunk: Buffer) => {
      text += chunk;
    });
    return once(process, 'close').then(() => JSON.parse(text));
  }

  /** Starts the checker of the guest. */
  checker(): ChildProcess {
    const process = this.guestSide.spawn(this.#guestCommand('check'));
    this.#started.push(process);
    return process;
  }

  /** The page of the guest's app as the gateway sees it through the tunnel; undefined when it does not come. */
  page(clientIp: unknown, seconds = 5): string | undefined {
    const [head = '', ...words] = [...this.gatewaySide.enter, 'curl', '-sS', '-m', String(seconds)];
    const done = spawnSync(head, [...words, `http://${clientIp}:8080/`], { encoding: 'utf8' });
    return done.status === 0 ? done.stdout : undefined;
  }
}
