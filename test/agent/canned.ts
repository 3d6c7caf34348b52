/** A complete canned guest in a temporary folder: app, keys, evidence, configuration. Built here, nothing recorded. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatAppKeys } from '../../src/config/app-keys.ts';
import { localCaCert } from '../../src/keys/ca-cert.ts';
import { keysFromSeed } from '../../src/keys/seed-keys.ts';
import { encodeVersioned } from '../../src/tdx/attestation.ts';
import { EVENT, type RuntimeEvent } from '../../src/tdx/events.ts';
import { fullLogJson } from '../../src/tdx/log-json.ts';
import { replayRuntime } from '../../src/tdx/replay.ts';
import { type TdxEvent, toTdxEvent } from '../../src/tdx/tdx-event.ts';

export interface Guest {
  readonly dir: string;
  readonly configFile: string;
  readonly dstackSock: string;
  readonly tappdSock: string;
  readonly guestSock: string;
  readonly port: number;
  readonly appId: string;
  readonly composeText: string;
  remove(): void;
}

export interface GuestOptions {
  readonly compose?: Record<string, unknown>;
  readonly patchReportData?: boolean;
  /** quote and event log in files of their own */
  readonly splitFiles?: boolean;
  readonly eventVersion?: 1 | 2;
}

const text = (value: string) => new TextEncoder().encode(value);

/** A quote of version 4 with these registers; everything a verifier would look at besides is zero. */
function quote(mrtd: Uint8Array, rtmr3: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(636 + 16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 4, true);
  view.setUint16(2, 2, true);
  view.setUint32(4, 0x81, true);
  bytes.set(mrtd, 184);
  bytes.set(rtmr3, 520);
  view.setUint32(632, 16, true);
  return bytes;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export async function makeGuest(options: GuestOptions = {}): Promise<Guest> {
  const dir = mkdtempSync(join(tmpdir(), 'dstack-guest-'));
  const composeText = JSON.stringify({
    manifest_version: 2,
    name: 'größe <b>',
    runner: 'docker-compose',
    docker_compose_file: 'services:\n  web:\n    image: nginx\n',
    key_provider: 'none',
    ...options.compose,
  });
  const composeHash = new Uint8Array(createHash('sha256').update(composeText).digest());
  const appId = composeHash.subarray(0, 20);
  const version = options.eventVersion ?? 1;
  const event = (name: string, payload: Uint8Array = new Uint8Array(0)): RuntimeEvent => ({
    event: name,
    payload,
    version,
  });
  const runtimeEvents = [
    event(EVENT.systemPreparing),
    event(EVENT.appId, appId),
    event(EVENT.composeHash, composeHash),
    event(EVENT.instanceId, new Uint8Array(20).fill(7)),
    event(EVENT.bootMrDone),
    event(EVENT.keyProvider, text('{"name":"none","id":""}')),
    event(EVENT.systemReady),
  ];
  const firmware: TdxEvent = {
    imr: 0,
    eventType: 1,
    digest: new Uint8Array(48).fill(3),
    event: '',
    payload: text('firmware'),
    version: 1,
  };
  const vmConfig = JSON.stringify({ os_image_hash: 'ab'.repeat(32) });
  const eventLog = [firmware, ...runtimeEvents.map(toTdxEvent)];
  const platform = {
    kind: 'tdx',
    quote: quote(new Uint8Array(48).fill(0x11), replayRuntime(runtimeEvents)),
    eventLog,
  } as const;
  const attestation = { platform, reportData: new Uint8Array(64), runtimeEvents, config: vmConfig };
  const keys = keysFromSeed(new Uint8Array(32).fill(9), { kind: 'none' });
  const caCert = await localCaCert({ appKey: keys.appKey });
  const port = await freePort();
  const at = (name: string) => join(dir, name);
  const files: Record<string, string | Uint8Array> = {
    'app-compose.json': composeText,
    'appkeys.json': formatAppKeys({ ...keys, caCert }),
    'sys-config.json': JSON.stringify({ kms_urls: [], vm_config: vmConfig }),
    'attestation.bin': encodeVersioned(attestation),
    'quote.bin': platform.quote,
    'event-log.json': JSON.stringify(fullLogJson(eventLog)),
    'agent.json': JSON.stringify({
      default: {
        core: {
          keys_file: at('appkeys.json'),
          compose_file: at('app-compose.json'),
          sys_config_file: at('sys-config.json'),
          data_disks: ['/'],
          scoped_sockets: at('scoped'),
          simulator: {
            enabled: true,
            ...(options.splitFiles
              ? { quote_file: at('quote.bin'), event_log_file: at('event-log.json') }
              : { attestation_file: at('attestation.bin') }),
            patch_report_data: options.patchReportData ?? true,
          },
        },
      },
      internal: { address: `unix:${at('dstack.sock')}`, reuse: true },
      'internal-v0': { address: `unix:${at('tappd.sock')}`, reuse: true },
      external: { address: '127.0.0.1', port },
      'guest-api': { address: `unix:${at('guest.sock')}`, reuse: true },
    }),
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(at(name), content);
  return {
    dir,
    configFile: at('agent.json'),
    dstackSock: at('dstack.sock'),
    tappdSock: at('tappd.sock'),
    guestSock: at('guest.sock'),
    port,
    appId: Buffer.from(appId).toString('hex'),
    composeText,
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}
