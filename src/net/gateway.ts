/**
 * Joining the gateway: key store, registration, firewall, WireGuard. One refresh, forced or not, used by setup, by
 * `gateway-refresh` and by the checker. Source: dstack boot order, gateway registration and WireGuard.
 */
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { AppCompose } from '../config/app-compose.ts';
import { type AppKeys, parseAppKeys, wipeAppKeys } from '../config/app-keys.ts';
import { readCmdline } from '../config/own-cmdline.ts';
import { HOST_SHARED, PATHS } from '../config/paths.ts';
import { peerTcbPolicy } from '../config/peer-policy.ts';
import { readAppCompose } from '../config/read-app-compose.ts';
import { parseSysConfig, type SysConfig } from '../config/sys-config.ts';
import { DstackError } from '../errors.ts';
import { installed, run } from '../sys/exec.ts';
import { ifExists, makeDir, readLimited, utf8, writeAtomic } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { allowServers, type FirewallTools } from './firewall.ts';
import { GATEWAY_CACHE } from './gateway-cache.ts';
import { type Certify, gatewayIdentity } from './gateway-identity.ts';
import { type Attempted, noteAttempt } from './gateway-record.ts';
import { type CallGateway, callGateway, register } from './gateway-register.ts';
import { afterCall, type KmsObserver } from './kms-contact.ts';
import { type Occupied, occupiedAddresses } from './occupied.ts';
import { wireGuardConfig, wireGuardDown, wireGuardUp } from './wireguard.ts';
import { WG_CONFIG } from './wireguard-names.ts';

const DOCUMENT_LIMIT = 1024 * 1024;

/** What a refresh touches. There are no defaults: a test that forgets a part must not reach for the machine it runs on. */
export interface NetMachine extends FirewallTools {
  /** @param tell how calls to the KMS ended */
  readonly certify: (settings: GatewaySettings, tell: KmsObserver) => Certify;
  readonly call: (settings: GatewaySettings) => CallGateway;
  /** what this machine uses: the tunnel must not take it over */
  readonly occupied: (settings: GatewaySettings) => Promise<readonly Occupied[]>;
  readonly cacheFile: string;
  readonly wireGuardFile: string;
  /** how registrations ended: `gateway-record.ts` */
  readonly recordFile: string;
  /** Unix seconds */
  readonly now: () => number;
}

export interface GatewaySettings {
  readonly compose: AppCompose;
  readonly keys: AppKeys;
  readonly sysConfig: SysConfig;
}

/** This machine, for real. */
export const realNetMachine = (): NetMachine => ({
  run,
  installed,
  certify:
    ({ keys, sysConfig }, tell) =>
    async (key, notAfter) => {
      const { certifyForGateway } = await import('./gateway-certificates.ts');
      return certifyForGateway(keys, sysConfig, undefined, tell)(key, notAfter);
    },
  call: ({ keys, compose, sysConfig }) =>
    callGateway(keys.caCert, keys.gatewayAppId, {}, async () => {
      const allowed = peerTcbPolicy(await readCmdline(), compose);
      return allowed === undefined ? undefined : { pccs: sysConfig.pccsUrl, allowed };
    }),
  occupied: ({ sysConfig }) => occupiedAddresses(sysConfig),
  cacheFile: GATEWAY_CACHE,
  wireGuardFile: WG_CONFIG,
  recordFile: PATHS.gatewayRecord,
  now: () => Math.floor(Date.now() / 1000),
});

export type RefreshOutcome = 'not wanted' | 'unchanged' | 'joined';

/**
 * Whether the app in this work folder asks for a gateway.
 * @throws FILE_NOT_FOUND, FILE_NOT_REGULAR, JSON_INVALID, DOCUMENT_INVALID
 */
export async function gatewayWanted(workDir: string): Promise<boolean> {
  return (await readCompose(workDir)).gatewayEnabled;
}

/**
 * One registration. Without `force` an unchanged configuration leaves the tunnel alone.
 * @throws GATEWAY_MISCONFIGURED, GATEWAY_UNREACHABLE, FIREWALL_FAILED, COMMAND_*, CERT_*, QUOTE_*, KMS_*
 */
export async function refreshGateway(
  options: { readonly workDir: string; readonly force: boolean },
  machine: NetMachine,
): Promise<RefreshOutcome> {
  const compose = await readCompose(options.workDir);
  if (!compose.gatewayEnabled) return 'not wanted';
  let found: Attempted = {};
  const note = (thrown?: unknown) => noteAttempt(machine.recordFile, machine.now(), found, thrown);
  try {
    const settings = await readSettings(options.workDir, compose);
    try {
      const outcome = await join(settings, options.force, machine, (more) => {
        found = { ...found, ...more };
      });
      await note();
      return outcome;
    } finally {
      wipeAppKeys(settings.keys);
    }
  } catch (thrown) {
    await note(thrown);
    throw thrown;
  }
}

/** Reads what the checker needs to know once. @throws GATEWAY_MISCONFIGURED */
export async function checkGatewaySettings(workDir: string): Promise<void> {
  const settings = await readSettings(workDir, await readCompose(workDir));
  wipeAppKeys(settings.keys);
  requireAppId(settings);
  requireUrls(settings);
}

async function join(
  settings: GatewaySettings,
  force: boolean,
  machine: NetMachine,
  learn: (found: Attempted) => void,
): Promise<RefreshOutcome> {
  const { compose } = settings;
  requireAppId(settings);
  let kms: Attempted['kms'];
  const certify = machine.certify(settings, (thrown) => {
    kms = afterCall(kms, machine.now(), thrown);
    learn({ kms });
  });
  const identity = await gatewayIdentity(certify, { path: machine.cacheFile, now: machine.now() });
  learn({ certNotAfter: identity.certNotAfter });
  const urls = requireUrls(settings);
  const occupied = await machine.occupied(settings);
  const answer = await register(urls, identity, compose, machine.call(settings), occupied);
  const text = wireGuardConfig(identity.wgSk, answer);
  if (!force && (await currentConfig(machine.wireGuardFile)) === text) return 'unchanged';
  // the rules come first: names that do not resolve fail here and leave the old tunnel as it is, and the new one never
  // runs without its drop rule
  await allowServers(answer.servers, machine, occupied);
  await makeDir(dirname(machine.wireGuardFile), 0o700);
  await writeAtomic(machine.wireGuardFile, text, 0o600);
  await wireGuardDown(machine.run, machine.wireGuardFile);
  try {
    await wireGuardUp(machine.run, machine.wireGuardFile);
  } catch (thrown) {
    // a file without a tunnel would look like one that is silent, and the checker would leave it so for three minutes
    await rm(machine.wireGuardFile, { force: true });
    throw thrown;
  }
  ui.info(`joined ${answer.url} as ${answer.clientIp}, ${answer.servers.length} gateway(s)`);
  return 'joined';
}

function requireAppId({ keys }: GatewaySettings): void {
  if (keys.gatewayAppId !== '') return;
  throw new DstackError('GATEWAY_MISCONFIGURED', 'missing allowed dstack-gateway app id', {
    path: HOST_SHARED.appKeys,
    field: 'gateway_app_id',
    hint: 'only a KMS names the gateway an app may trust: use key_provider kms',
  });
}

function requireUrls({ sysConfig }: GatewaySettings): readonly string[] {
  if (sysConfig.gatewayUrls.length > 0) return sysConfig.gatewayUrls;
  throw new DstackError('GATEWAY_MISCONFIGURED', 'missing gateway urls', {
    path: HOST_SHARED.sysConfig,
    field: 'gateway_urls',
  });
}

// not the link <workDir>/app-compose.json: links are not followed
const shared = (workDir: string, name: string): string => `${workDir}/.host-shared/${name}`;

async function readCompose(workDir: string): Promise<AppCompose> {
  const path = shared(workDir, HOST_SHARED.appCompose);
  return readAppCompose(path);
}

async function readSettings(workDir: string, compose: AppCompose): Promise<GatewaySettings> {
  const [keysPath, sysPath] = [shared(workDir, HOST_SHARED.appKeys), shared(workDir, HOST_SHARED.sysConfig)];
  const keys = parseAppKeys(await readLimited(keysPath, DOCUMENT_LIMIT), keysPath);
  return { compose, keys, sysConfig: parseSysConfig(await readLimited(sysPath, DOCUMENT_LIMIT), sysPath) };
}

/** The configuration of the last registration; undefined when there is none. */
async function currentConfig(path: string): Promise<string | undefined> {
  const raw = await ifExists(() => readLimited(path, DOCUMENT_LIMIT));
  return raw === undefined ? undefined : utf8(raw, path);
}
