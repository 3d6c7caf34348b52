/** `dstack-sim gateway`: a gateway with a real WireGuard end. */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import { p256FromPem } from '../../src/keys/ca-cert.ts';
import type { Issuer } from '../../src/x509/x509.ts';
import { GATEWAY_APP_ID, gatewayCertificate } from './gateway-certificate.ts';
import { type GatewayFaults, GatewayServer } from './server.ts';
import { WireGuardEnd } from './wireguard-end.ts';

interface Options {
  readonly listen: string;
  readonly kmsState?: string;
  readonly caCert?: string;
  readonly caKey?: string;
  readonly appId: string;
  readonly name: readonly string[];
  readonly network: string;
  readonly number: string;
  readonly endpoint: string;
  readonly interface: string;
  readonly down?: boolean;
  readonly forgetPeers?: string;
  readonly oldVersion?: boolean;
  readonly wrongAppId?: boolean;
  readonly garbage?: boolean;
  readonly dieMidAnswer?: boolean;
  readonly delay?: string;
}

const collect = (text: string, before: readonly string[]): string[] => [...before, text];

export function defineGateway(command: Command): void {
  command
    .description(
      'register guests and be the other end of their tunnels: needs root and wireguard-go or the kernel module',
    )
    .option('--listen <host:port>', 'listen on this TCP address', '127.0.0.1:8444')
    .option('--kms-state <dir>', 'root keys of `dstack-sim kms --state`: both sides have their certificates from it')
    .option('--ca-cert <file>', 'instead of a KMS: CA below whose root both sides have their certificates, PEM')
    .option('--ca-key <file>', 'its key, PEM')
    .option('--app-id <hex>', 'app id in the certificate', toHex(GATEWAY_APP_ID))
    .option('--name <name>', 'host name or IP address in the certificate (repeatable, default 127.0.0.1)', collect, [])
    .option('--network <a.b>', 'first two numbers of the VPN network', '10.4')
    .option('--number <n>', 'last number of the address of this gateway', '1')
    .option('--endpoint <host:port>', 'where guests send WireGuard packets; the port is listened on', '10.0.2.2:51820')
    .option('--interface <name>', 'WireGuard interface', 'dstack-gw0')
    .option('--down', 'fault: close every connection')
    .option('--forget-peers <seconds>', 'fault: forget all guests after so many seconds; SIGHUP does it at any time')
    .option('--old-version', 'fault: want a quote in the certificate')
    .option('--wrong-app-id', 'fault: show the certificate of another app')
    .option('--garbage', 'fault: answer with nonsense')
    .option('--die-mid-answer', 'fault: close the connection in the middle of each answer')
    .option('--delay <ms>', 'fault: wait before each answer')
    .addHelpText('after', '\nPrints where it listens, then each registration, as one line of JSON.')
    .action(run);
}

function hostPort(text: string, field: string): { host: string; port: number } {
  const match = /^(.+):(\d{1,5})$/.exec(text);
  if (match === null) throw new DstackError('USAGE', `${field} must be host:port`, { field, value: text });
  return { host: (match[1] ?? '').replace(/^\[|\]$/g, ''), port: Number(match[2]) };
}

/** Who signs the certificate of this gateway, and the root that it and its guests share. */
async function authority(options: Options, appId: Uint8Array): Promise<{ issuer: Issuer; root: string }> {
  if (options.kmsState !== undefined) {
    const { openRoots } = await import('../kms/roots.ts');
    const { appAuthority } = await import('../kms/derive.ts');
    const roots = await openRoots(options.kmsState);
    return { issuer: await appAuthority(roots, appId), root: roots.ca.certificate };
  }
  if (options.caCert === undefined || options.caKey === undefined) {
    throw new DstackError('USAGE', 'give --kms-state, or --ca-cert and --ca-key');
  }
  const root = await readFile(options.caCert, 'utf8');
  return { issuer: { certificate: root, key: p256FromPem(await readFile(options.caKey, 'utf8')) }, root };
}

async function run(options: Options): Promise<void> {
  const where = hostPort(options.listen, '--listen');
  const { port: wgPort } = hostPort(options.endpoint, '--endpoint');
  const appId = fromHex(options.appId, { field: '--app-id', prefix: true, length: 20 });
  if (options.wrongAppId) appId[0] = (appId[0] ?? 0) ^ 0xff;
  const { issuer, root } = await authority(options, appId);
  const names = options.name.length > 0 ? options.name : ['127.0.0.1'];
  const faults: GatewayFaults = {
    down: options.down === true,
    oldVersion: options.oldVersion === true,
    garbage: options.garbage === true,
    dieMidAnswer: options.dieMidAnswer === true,
    delay: Number(options.delay ?? 0),
  };
  const wireGuard = WireGuardEnd.open({
    interface: options.interface,
    port: wgPort,
    address: `${options.network}.0.${options.number}/16`,
  });
  try {
    const identity = await gatewayCertificate(issuer, names, appId);
    const { network, endpoint } = options;
    const gateway = await GatewayServer.start(
      { ...identity, clientRoot: root, network, endpoint, wireGuard },
      where,
      faults,
    );
    const line = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);
    gateway.on('event', line);
    process.on('SIGHUP', () => gateway.forget());
    if (options.forgetPeers) setTimeout(() => gateway.forget(), Number(options.forgetPeers) * 1000).unref();
    line({
      url: `https://${where.host}:${gateway.port}`,
      wg_public_key: wireGuard.publicKey,
      app_id: toHex(appId),
      userspace: wireGuard.userspace,
    });
    await new Promise<void>((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
    });
    await gateway.close();
  } finally {
    wireGuard.close();
  }
}
