/** What an app and an image will measure, told without booting them: the rules of `dstack-util measure`. */
import { toHex } from '../../src/codec/hex.ts';
import { parseAppCompose } from '../../src/config/app-compose.ts';
import { parseCmdline } from '../../src/config/cmdline.ts';
import { parseInstanceInfo } from '../../src/config/instance-info.ts';
import {
  type AcpiDigests,
  checkImageFiles,
  digestOfFiles,
  imageOfFiles,
  predictFromDocument,
  predictFromImage,
  readBoundMeasurement,
  readVmConfig,
  shapeFromVmConfig,
  systemJson,
} from '../../src/os-image/os-image.ts';
import { predict } from '../../src/tdx/predict-app.ts';
import { predictionJson } from '../../src/tdx/prediction-json.ts';
import { type Content, contentBytes, type Hex, hexBytes, optionalHexBytes } from './bytes.ts';

export interface AppOptions {
  /** the .instance_info that the host keeps for this instance */
  readonly instanceInfo?: Content | undefined;
  /** 20 bytes, if the host names the app */
  readonly appId?: Hex | undefined;
  /** 20 bytes, of the running guest */
  readonly instanceId?: Hex | undefined;
  /** KMS root key (SPKI in DER) or MRENCLAVE of the local provider */
  readonly keyProviderId?: Hex | undefined;
  /** what the KMS answers for the image */
  readonly osImageHash?: Hex | undefined;
  /** kernel command line, for its storage options */
  readonly cmdline?: string | undefined;
  /** events that the app measures after the boot */
  readonly events?: readonly { readonly event: string; readonly payload: Hex }[] | undefined;
}

/** One event; null for what only the running guest knows, and for every register behind it. Hex. */
export interface AppEvent {
  readonly event: string;
  readonly payload: string | null;
  readonly digest: string | null;
  readonly rtmr3: string | null;
}

/** What `measure --json` prints of an app: also an expectation for `verifyEvidence`. */
export interface AppPrediction {
  readonly compose_hash: string;
  readonly app_id: string;
  readonly event_log_version: number;
  readonly rtmr3: string | null;
  /** as a KMS sees it when it authorises the boot */
  readonly rtmr3_boot_mr_done: string | null;
  readonly events: readonly AppEvent[];
  /** what would tell a value that is not known */
  readonly unknown: readonly { readonly event: string; readonly why: string }[];
  readonly assumed: readonly string[];
}

/**
 * Predicts the events of an app and RTMR3.
 * @param compose app-compose.json, byte for byte as it is deployed
 * @throws an error with a `code` for a document that a guest would refuse
 */
export function predictApp(compose: Content, options: AppOptions = {}): AppPrediction {
  const empty = new Uint8Array();
  const info =
    options.instanceInfo === undefined
      ? { instanceIdSeed: empty, instanceId: empty, appId: empty }
      : parseInstanceInfo(contentBytes(options.instanceInfo), 'instanceInfo');
  const appId = optionalHexBytes('appId', options.appId);
  const prediction = predict(parseAppCompose(contentBytes(compose), 'app-compose.json'), {
    instance: appId === undefined ? info : { ...info, appId },
    instanceId: optionalHexBytes('instanceId', options.instanceId),
    keyProviderId: optionalHexBytes('keyProviderId', options.keyProviderId),
    osImageHash: optionalHexBytes('osImageHash', options.osImageHash),
    cmdline: parseCmdline(options.cmdline ?? ''),
    cmdlineKnown: options.cmdline !== undefined,
    later: (options.events ?? []).map(({ event, payload }) => ({ event, payload: hexBytes('events', payload) })),
  });
  return predictionJson(prediction);
}

export interface ImageOptions {
  /** vm_config of the machine: `memory_size` and `cpu_count` at least, as JSON or as what JSON.parse makes of it */
  readonly vmConfig: Content | object;
  /** digests of the events acpi-loader, acpi-rsdp and acpi-tables, 48 bytes each: RTMR0 is not known without them */
  readonly acpi?: { readonly loader: Hex; readonly rsdp: Hex; readonly tables: Hex } | undefined;
}

/** What `measure --json` prints under `system`. Hex; null for what is not known. */
export interface ImagePrediction {
  readonly os_image_hash: string | null;
  readonly mrtd: string;
  readonly rtmr0: string | null;
  readonly rtmr1: string | null;
  readonly rtmr2: string | null;
  readonly events: readonly {
    readonly register: number;
    readonly event: string;
    readonly type: number;
    readonly digest: string | null;
    readonly depends_on: readonly string[];
  }[];
  readonly unknown: readonly { readonly event: string; readonly why: string }[];
  readonly assumed: readonly string[];
}

/**
 * Predicts MRTD and RTMR0 to RTMR2 of an image.
 * @param files by their names: metadata.json and what it names; with sha256sum.txt every file that it names is compared
 * @throws an error with a `code`: files that are missing or do not belong together, a machine that cannot be computed
 */
export async function predictImage(
  files: Readonly<Record<string, Uint8Array>>,
  options: ImageOptions,
): Promise<ImagePrediction> {
  const map = new Map(Object.entries(files));
  const image = imageOfFiles(map, 'as given');
  const prediction = predictFromImage(image.parts, ...machineOf(options));
  const hash =
    image.checksumFile === undefined ? undefined : await checkImageFiles(image, digestOfFiles(map, 'as given'));
  return systemJson(prediction, hash) as ImagePrediction;
}

/** The same from measurement.tdx.cbor and the checksum file that binds it. @throws as `predictImage` */
export function predictMeasurement(document: Uint8Array, checksums: Content, options: ImageOptions): ImagePrediction {
  const bound = readBoundMeasurement({ measurement: document, checksumFile: contentBytes(checksums) });
  return systemJson(predictFromDocument(bound.document, ...machineOf(options)), bound.osImageHash) as ImagePrediction;
}

function machineOf({ vmConfig, acpi }: ImageOptions) {
  const text = typeof vmConfig === 'string' || vmConfig instanceof Uint8Array ? vmConfig : JSON.stringify(vmConfig);
  const shape = shapeFromVmConfig(readVmConfig(contentBytes(text), 'vmConfig'));
  const digests: AcpiDigests | undefined = acpi && {
    loader: digest('acpi.loader', acpi.loader),
    rsdp: digest('acpi.rsdp', acpi.rsdp),
    tables: digest('acpi.tables', acpi.tables),
  };
  return [shape, digests] as const;
}

/** @throws HEX_INVALID */
const digest = (field: string, value: Hex): Uint8Array =>
  hexBytes(field, typeof value === 'string' ? value : toHex(value));
