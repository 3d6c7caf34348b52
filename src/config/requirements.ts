/**
 * The `requirements` of app-compose.json: what the app demands of the platform before it lets itself be started. They
 * are checked before the first event is measured. Source: dstack formats, requirements.
 */
import { sameSecret } from '../codec/bytes.ts';
import { utf8Bytes } from '../codec/text.ts';
import { sha256 } from '../crypto/hash.ts';
import { DstackError } from '../errors.ts';
import type { Fields } from './fields.ts';
import { HOST_SHARED } from './paths.ts';
import { satisfies } from './semver.ts';
import { isObject, parseStrictJsonBytes } from './strict-json.ts';
import { ACCEPTABLE_STATUSES, isAcceptable, type TcbStatus } from './tcb-status.ts';

/** Names an app may list in `requirements.platforms`. */
export const PLATFORM_NAMES = [
  'dstack-tdx',
  'dstack-gcp-tdx',
  'dstack-nitro-enclave',
  'dstack-amd-sev-snp',
  'dstack-aws-nitro-tpm',
] as const;

const LAUNCH_TOKEN_TAG = 'dstack-launch-token/v1:';
const LAUNCH_TOKEN_MIN = 32;

export interface GpuPolicy {
  readonly attestGpu: boolean;
  readonly rego?: string;
  readonly allowDevtools: boolean;
  readonly allowDebug: boolean;
  readonly allowInsecureBoot: boolean;
}

export interface Requirements {
  /** version requirement for VERSION_ID of os-release */
  readonly osVersion?: string;
  /** absent: any platform; empty: none */
  readonly platforms?: readonly string[];
  readonly tdxMeasureAcpiTables?: boolean;
  /** 32 bytes */
  readonly launchTokenHash?: Uint8Array;
  readonly gpuPolicy?: GpuPolicy;
  /** the gateway asks this guest whether the app is healthy before it sends traffic */
  readonly healthCheck?: boolean;
  /** absolute path of the file in which the app says whether it is healthy; absent: its containers are judged */
  readonly healthStatusFile?: string;
  /** what the platform of KMS and gateway may be, from best to worst; absent: anything but revoked */
  readonly peerTcbStatuses?: readonly TcbStatus[];
}

/** What is known about this machine. */
export interface PlatformFacts {
  /** VERSION_ID of os-release */
  readonly osVersion: string;
  /** one of PLATFORM_NAMES */
  readonly platform: string;
  /** vm_config.tdx_attestation_variant; absent means legacy */
  readonly tdxVariant?: string | undefined;
  /** raw bytes of .user-config, if there is one */
  readonly userConfig?: Uint8Array | undefined;
}

const FIELDS = [
  'os_version',
  'platforms',
  'tdx_measure_acpi_tables',
  'launch_token_hash',
  'gpu_policy',
  'health_check',
  'health_status_file',
  'peer_tcb_statuses',
];
/** longest path that the kernel takes, PATH_MAX */
const PATH_LIMIT = 4096;

/** @throws DOCUMENT_INVALID, also for an unknown field */
export function parseRequirements(fields: Fields): Requirements {
  fields.denyUnknown(FIELDS);
  const osVersion = fields.optionalString('os_version');
  const platforms = isNull(fields, 'platforms') ? undefined : fields.strings('platforms');
  const acpi = isNull(fields, 'tdx_measure_acpi_tables') ? undefined : fields.boolean('tdx_measure_acpi_tables', false);
  const launchTokenHash = fields.optionalHex('launch_token_hash', 32);
  const gpuPolicy = fields.object('gpu_policy');
  return {
    ...(osVersion === undefined ? {} : { osVersion }),
    ...(platforms === undefined ? {} : { platforms }),
    ...(acpi === undefined ? {} : { tdxMeasureAcpiTables: acpi }),
    ...(launchTokenHash === undefined ? {} : { launchTokenHash }),
    ...(gpuPolicy === undefined ? {} : { gpuPolicy: parseGpuPolicy(gpuPolicy) }),
    ...parseHealth(fields),
    ...parsePeerTcb(fields),
  };
}

function parseHealth(fields: Fields): Pick<Requirements, 'healthCheck' | 'healthStatusFile'> {
  const healthCheck = isNull(fields, 'health_check') ? undefined : fields.boolean('health_check', false);
  const file = fields.optionalString('health_status_file');
  if (file !== undefined) {
    if (healthCheck !== true) fields.fail('health_status_file', 'needs health_check: true', file);
    if (!file.startsWith('/') || file.includes('\0') || utf8Bytes(file).length >= PATH_LIMIT)
      fields.fail('health_status_file', 'must be an absolute path', file);
  }
  return {
    ...(healthCheck === undefined ? {} : { healthCheck }),
    ...(file === undefined ? {} : { healthStatusFile: file }),
  };
}

/** An own field of this project: the platform's guests refuse a document that has it, so it is never silently ignored. */
function parsePeerTcb(fields: Fields): Pick<Requirements, 'peerTcbStatuses'> {
  if (isNull(fields, 'peer_tcb_statuses')) return {};
  const statuses = fields.strings('peer_tcb_statuses');
  const known = ACCEPTABLE_STATUSES.join(', ');
  if (statuses.length === 0) fields.fail('peer_tcb_statuses', `is empty: name some of ${known}`);
  for (const [i, status] of statuses.entries())
    if (!isAcceptable(status)) fields.fail(`peer_tcb_statuses[${i}]`, `must be one of ${known}`, status);
  return { peerTcbStatuses: ACCEPTABLE_STATUSES.filter((status) => statuses.includes(status)) };
}

const isNull = (fields: Fields, name: string): boolean => (fields.raw(name) ?? null) === null;

function parseGpuPolicy(fields: Fields): GpuPolicy {
  fields.denyUnknown(['attest_gpu', 'rego', 'allow_devtools', 'allow_debug', 'allow_insecure_boot']);
  const rego = fields.optionalString('rego');
  return {
    attestGpu: fields.boolean('attest_gpu', true),
    ...(rego === undefined ? {} : { rego }),
    allowDevtools: fields.boolean('allow_devtools', false),
    allowDebug: fields.boolean('allow_debug', false),
    allowInsecureBoot: fields.boolean('allow_insecure_boot', false),
  };
}

/**
 * Checks every requirement against this machine, in the order of the boot.
 * @throws REQUIREMENT_UNMET, DOCUMENT_INVALID (malformed os_version, unknown platform name)
 */
export function checkRequirements(compose: { readonly requirements?: Requirements }, facts: PlatformFacts): void {
  const { requirements } = compose;
  if (requirements === undefined) return;
  checkOsVersion(requirements.osVersion, facts.osVersion);
  checkPlatforms(requirements.platforms, facts.platform);
  checkAcpiTables(requirements.tdxMeasureAcpiTables, facts);
  checkLaunchToken(requirements.launchTokenHash, facts.userConfig);
}

/** SHA-256 over the domain tag and the token. */
export function launchTokenHash(token: string): Uint8Array {
  return sha256(utf8Bytes(`${LAUNCH_TOKEN_TAG}${token}`));
}

function unmet(message: string, field: string, value?: string | boolean): DstackError {
  return new DstackError('REQUIREMENT_UNMET', message, {
    path: HOST_SHARED.appCompose,
    field: `requirements.${field}`,
    value,
  });
}

function checkOsVersion(required: string | undefined, actual: string): void {
  if (required === undefined) return;
  let met: boolean;
  try {
    met = satisfies(actual, required);
  } catch (thrown) {
    const message = `cannot compare the OS version ${actual || '(none)'} with requirements.os_version ${required}`;
    throw new DstackError('REQUIREMENT_UNMET', message, {
      path: HOST_SHARED.appCompose,
      field: 'requirements.os_version',
      value: required,
      cause: thrown,
    });
  }
  if (!met) throw unmet(`the OS version ${actual} does not satisfy ${required}`, 'os_version', required);
}

function checkPlatforms(platforms: readonly string[] | undefined, actual: string): void {
  if (platforms === undefined) return;
  platforms.forEach((platform, i) => {
    if ((PLATFORM_NAMES as readonly string[]).includes(platform)) return;
    const field = `requirements.platforms[${i}]`;
    throw new DstackError('DOCUMENT_INVALID', `invalid ${field}: ${platform}`, {
      path: HOST_SHARED.appCompose,
      field,
      value: platform,
    });
  });
  if (!platforms.includes(actual)) {
    throw unmet(`the platform ${actual} is not among ${platforms.join(', ') || '(none)'}`, 'platforms', actual);
  }
}

function checkAcpiTables(required: boolean | undefined, { platform, tdxVariant }: PlatformFacts): void {
  if (required === undefined || platform !== 'dstack-tdx') return;
  const variant = tdxVariant ?? 'legacy';
  if (variant === (required ? 'legacy' : 'lite')) return;
  const message = `the TDX attestation variant ${variant} does not fit tdx_measure_acpi_tables ${required}`;
  throw unmet(message, 'tdx_measure_acpi_tables', required);
}

/** The token itself is a secret of the deployer: it is in no message. */
function checkLaunchToken(required: Uint8Array | undefined, userConfig: Uint8Array | undefined): void {
  if (required === undefined) return;
  const field = 'launch_token_hash';
  if (userConfig === undefined) throw unmet('a launch token is required, but there is no user config', field);
  let document: unknown;
  try {
    document = parseStrictJsonBytes(userConfig, HOST_SHARED.userConfig);
  } catch {
    throw unmet('a launch token is required, but the user config is not JSON', field);
  }
  const section = isObject(document) && Object.hasOwn(document, 'dstack') ? document['dstack'] : undefined;
  const token = isObject(section) && Object.hasOwn(section, 'launch_token') ? section['launch_token'] : undefined;
  if (typeof token !== 'string')
    throw unmet('/dstack/launch_token is missing in the user config, or is not a string', field);
  if (utf8Bytes(token).length < LAUNCH_TOKEN_MIN) {
    throw unmet(`the launch token is shorter than ${LAUNCH_TOKEN_MIN} bytes`, field);
  }
  if (!sameSecret(launchTokenHash(token), required)) throw unmet('the launch token does not match', field);
}
