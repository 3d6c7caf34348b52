/**
 * app-compose.json: what the app is and what it asks for. Its raw bytes are what is measured (`composeHash`); this
 * module only reads them and never writes them again. Unknown fields are ignored, known ones are checked one by one.
 * Source: dstack formats, app-compose.json.
 */
import { sha256 } from '../crypto/hash.ts';
import { DstackError } from '../errors.ts';
import { utf8 } from '../sys/utf8.ts';
import { type AgentSocket, parseAgentSockets } from './agent-sockets.ts';
import { Fields } from './fields.ts';
import { gpuPolicyHash } from './gpu-policy.ts';
import { parseHumanSize } from './human-size.ts';
import { HOST_SHARED } from './paths.ts';
import { parseRequirements, type Requirements } from './requirements.ts';
import { parseStrictJson } from './strict-json.ts';
import { parseVerityVolumes, type VerityVolume } from './verity-volumes.ts';

export const MAX_INIT_SCRIPTS = 5;
export const MAX_MANIFEST_VERSION = 3;

export type KeyProviderKind = 'none' | 'kms' | 'local' | 'tpm';

export interface PortPolicy {
  readonly ports: readonly { readonly port: number; readonly pp: boolean }[];
  readonly restrictMode: boolean;
}

export interface AppCompose {
  readonly raw: Uint8Array;
  readonly text: string;
  /** SHA-256 of `raw`; its first 20 bytes are the default app id */
  readonly composeHash: Uint8Array;
  readonly manifestVersion: number;
  readonly name: string;
  readonly runner: string;
  readonly snapshotter?: 'overlayfs' | 'stargz';
  readonly dockerComposeFile?: string;
  readonly preLaunchScript?: string;
  /** the key pre_launch_script is there, even as null or empty text: the deployed start script asks only that */
  readonly hasPreLaunch: boolean;
  readonly bashScript?: string;
  readonly initScripts: readonly string[];
  readonly publicLogs: boolean;
  readonly publicSysinfo: boolean;
  readonly publicTcbinfo: boolean;
  /** effective: `key_provider`, else the legacy selectors, else none */
  readonly keyProvider: KeyProviderKind;
  /** expected provider id; empty means no pin */
  readonly keyProviderId: Uint8Array;
  /** effective: any of the three ways to ask for the gateway */
  readonly gatewayEnabled: boolean;
  readonly allowedEnvs: readonly string[];
  readonly noInstanceId: boolean;
  readonly secureTime: boolean;
  /** raw text; judged where storage options are computed */
  readonly storageFs?: string;
  /** bytes, 0 for none */
  readonly swapSize: number;
  readonly eventLogVersion: 1 | 2;
  readonly portPolicy: PortPolicy;
  readonly requirements?: Requirements;
  /** SHA-256 of the canonical JSON of /requirements/gpu_policy as written, or of {} */
  readonly gpuPolicyHash: Uint8Array;
  readonly verityVolumes: readonly VerityVolume[];
  /** sockets of the guest agent with less than everything */
  readonly agentSockets: readonly AgentSocket[];
  /** the parsed JSON as it is */
  readonly document: unknown;
  /** top-level fields that nothing here reads */
  readonly ignored: readonly string[];
}

/** Largest accepted app-compose.json in bytes. */
export const APP_COMPOSE_LIMIT = 50 * 1024 * 1024;

/**
 * Reads app-compose.json. `path` is only for errors.
 * @throws JSON_INVALID, DOCUMENT_INVALID, SCRIPT_LIMIT naming path, field and value
 */
export function parseAppCompose(raw: Uint8Array, path: string = HOST_SHARED.appCompose): AppCompose {
  const text = utf8(raw, path);
  const document = parseStrictJson(text, path);
  const fields = new Fields(document, { path });
  const requirements = fields.object('requirements');
  const preLaunchScript = fields.optionalString('pre_launch_script');
  const compose = {
    raw,
    text,
    composeHash: sha256(raw),
    manifestVersion: manifestVersion(fields),
    name: fields.string('name'),
    runner: fields.string('runner'),
    ...optional('snapshotter', oneOf(fields, 'snapshotter', ['overlayfs', 'stargz'] as const)),
    ...optional('dockerComposeFile', fields.optionalString('docker_compose_file')),
    ...optional('preLaunchScript', preLaunchScript),
    hasPreLaunch: fields.has('pre_launch_script'),
    ...optional('bashScript', fields.optionalString('bash_script')),
    initScripts: initScripts(fields),
    publicLogs: fields.boolean('public_logs', false),
    publicSysinfo: fields.boolean('public_sysinfo', false),
    publicTcbinfo: fields.boolean('public_tcbinfo', true),
    keyProvider: keyProvider(fields),
    keyProviderId: fields.hex('key_provider_id'),
    gatewayEnabled: gatewayEnabled(fields),
    allowedEnvs: fields.strings('allowed_envs'),
    noInstanceId: fields.boolean('no_instance_id', false),
    secureTime: fields.boolean('secure_time', true),
    ...optional('storageFs', fields.optionalString('storage_fs')),
    swapSize: swapSize(fields),
    eventLogVersion: eventLogVersion(fields),
    portPolicy: portPolicy(fields),
    ...optional('requirements', requirements === undefined ? undefined : parseRequirements(requirements)),
    gpuPolicyHash: gpuPolicyHash(document),
    verityVolumes: parseVerityVolumes(fields.objects('verity_volumes')),
    agentSockets: parseAgentSockets(fields),
    document,
  };
  return { ...compose, ignored: fields.ignored() };
}

/**
 * Checks what depends on the manifest version and on combinations of fields. Done at the very start of setup, before
 * anything is measured.
 * @throws MANIFEST_UNSUPPORTED, DOCUMENT_INVALID
 */
export function checkFeatureGates(compose: AppCompose): void {
  const { manifestVersion: version } = compose;
  const refuse = (message: string, field: string, value: string | number): never => {
    throw new DstackError('MANIFEST_UNSUPPORTED', message, { path: HOST_SHARED.appCompose, field, value });
  };
  if (version > MAX_MANIFEST_VERSION) {
    const message = `unsupported manifest_version: ${version}, max supported: ${MAX_MANIFEST_VERSION}`;
    refuse(message, 'manifest_version', version);
  }
  if (version < 3) {
    const needs = (feature: string) => `${feature} needs manifest_version 3, but it is ${version}`;
    if (compose.requirements !== undefined) refuse(needs('requirements'), 'manifest_version', version);
    if (compose.runner === 'nerdctl-compose') refuse(needs('runner nerdctl-compose'), 'manifest_version', version);
    if (compose.initScripts.length > 1) refuse(needs('more than one init script'), 'manifest_version', version);
  }
  checkSnapshotter(compose);
}

/** Whether this app is started from `docker_compose_file`: runner bash ignores it, whatever stands there. */
export const readsComposeFile = ({ runner }: Pick<AppCompose, 'runner'>): boolean =>
  runner === 'docker-compose' || runner === 'nerdctl-compose';

/** A snapshotter is containerd's. @throws DOCUMENT_INVALID with another runner */
export function checkSnapshotter({ snapshotter, runner }: Pick<AppCompose, 'snapshotter' | 'runner'>): void {
  if (snapshotter === undefined || runner === 'nerdctl-compose') return;
  throw new DstackError('DOCUMENT_INVALID', 'snapshotter is only supported by the nerdctl-compose runner', {
    path: HOST_SHARED.appCompose,
    field: 'snapshotter',
    value: snapshotter,
  });
}

/** A property that exists only when it has a value (exactOptionalPropertyTypes). */
function optional<K extends string, V extends {}>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: V });
}

function oneOf<T extends string>(fields: Fields, field: string, choices: readonly T[]): T | undefined {
  const value = fields.optionalString(field);
  if (value === undefined) return undefined;
  if (!(choices as readonly string[]).includes(value))
    fields.fail(field, `must be one of ${choices.join(', ')}`, value);
  return value as T;
}

/**
 * As a number only 1 and 2, as a string any canonical decimal: older guests read numbers only, so a document that
 * needs a newer guest is written as a string and fails there instead of being half understood.
 */
function manifestVersion(fields: Fields): number {
  const field = 'manifest_version';
  const value = fields.raw(field);
  if (value === undefined) fields.fail(field, 'is missing');
  if (typeof value === 'string') {
    const digits = value.trim();
    if (!/^[1-9][0-9]{0,9}$/.test(digits) || Number(digits) > 0xffff_ffff) {
      fields.fail(field, 'must be a decimal number without sign or leading zero', value);
    }
    return Number(digits);
  }
  if (!fields.isInteger(field) || (value !== 1 && value !== 2)) {
    fields.fail(field, 'must be the number 1 or 2, or a string such as "3"', value);
  }
  return value as number;
}

function initScripts(fields: Fields): readonly string[] {
  const value = fields.raw('init_script');
  if (value === undefined || value === null) return [];
  if (typeof value === 'string') return [value];
  if (!Array.isArray(value)) fields.fail('init_script', 'must be a string or an array of strings', value);
  if (value.length > MAX_INIT_SCRIPTS) {
    fields.fail('init_script', `supports at most ${MAX_INIT_SCRIPTS} scripts`, value.length, 'SCRIPT_LIMIT');
  }
  return fields.strings('init_script');
}

function keyProvider(fields: Fields): KeyProviderKind {
  const named = oneOf(fields, 'key_provider', ['none', 'kms', 'local', 'tpm'] as const);
  const kms = fields.boolean('kms_enabled', false);
  const local = fields.boolean('local_key_provider_enabled', false);
  if (named !== undefined) return named;
  if (kms) return 'kms';
  return local ? 'local' : 'none';
}

function gatewayEnabled(fields: Fields): boolean {
  const gateway = fields.boolean('gateway_enabled', false);
  const tproxy = fields.boolean('tproxy_enabled', false);
  return fields.strings('features').includes('tproxy-net') || gateway || tproxy;
}

function swapSize(fields: Fields): number {
  const field = 'swap_size';
  const value = fields.raw(field);
  if (typeof value === 'string') {
    let size: bigint;
    try {
      size = parseHumanSize(value, field);
    } catch {
      return fields.fail(field, 'must be a size such as 512, 0x1000, 64M or 2G', value);
    }
    if (size > BigInt(Number.MAX_SAFE_INTEGER)) fields.fail(field, 'is larger than any disk', value);
    return Number(size);
  }
  return fields.integer(field, 0, Number.MAX_SAFE_INTEGER);
}

function eventLogVersion(fields: Fields): 1 | 2 {
  const version = fields.raw('event_log_version') === undefined ? 1 : fields.raw('event_log_version');
  if ((version !== 1 && version !== 2) || (fields.has('event_log_version') && !fields.isInteger('event_log_version'))) {
    return fields.fail('event_log_version', 'must be the number 1 or 2', version);
  }
  return version;
}

function portPolicy(fields: Fields): PortPolicy {
  const policy = fields.has('port_policy')
    ? new Fields(fields.raw('port_policy'), fields.options, 'port_policy')
    : undefined;
  if (policy === undefined) return { ports: [], restrictMode: false };
  return {
    ports: policy.objects('ports').map((entry) => {
      if (!entry.has('port')) entry.fail('port', 'is missing');
      return { port: entry.integer('port', 0, 65_535), pp: entry.boolean('pp', false) };
    }),
    restrictMode: policy.boolean('restrict_mode', false),
  };
}
