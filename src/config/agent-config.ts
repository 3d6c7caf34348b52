/**
 * The configuration of the guest agent. Layers, later ones win: built-in defaults, /etc/dstack/dstack.toml and .json,
 * ./dstack.toml and .json, the file of `-c`. Every layer is a document of profiles; a named profile inherits from
 * `default`. Tables are merged key by key, arrays replaced. Source: dstack formats, guest agent configuration.
 */
import { join } from 'node:path';
import { DstackError } from '../errors.ts';
import { ifExists, readLimited, utf8 } from '../sys/files.ts';
import { Fields } from './fields.ts';
import { hostShared } from './paths.ts';
import { isObject, type JsonObject, parseStrictJson } from './strict-json.ts';

/** One listener: its address and what its profile says about serving. */
export interface ListenerConfig {
  /** `unix:<path>`, `vsock:<cid>`, or an IP address */
  readonly address: string;
  /** for IP and vsock addresses */
  readonly port?: number;
  /** replace an existing socket file */
  readonly reuse: boolean;
  /** the name in the Server header */
  readonly ident: string;
  /** seconds; 0 closes after each answer */
  readonly keepAlive: number;
}

/** Canned evidence instead of a TEE, for development and client tests. */
export interface SimulatorConfig {
  /** versioned attestation bytes */
  readonly attestationFile?: string;
  /** raw quote with its event log (JSON) */
  readonly quoteFile?: string;
  readonly eventLogFile?: string;
  /** write the requested report data into the canned quote (its signature then no longer holds) */
  readonly patchReportData: boolean;
}

export interface AgentConfig {
  readonly workers: number;
  /** accepted for the configuration files of the reference; this server blocks no threads */
  readonly maxBlocking: number;
  readonly tempDir: string;
  readonly logLevel: string;
  readonly core: {
    readonly keysFile: string;
    readonly composeFile: string;
    readonly sysConfigFile: string;
    /** mount points SysInfo reports */
    readonly dataDisks: readonly string[];
    /** folder of the sockets that app-compose.json declares */
    readonly scopedSockets: string;
    /** only when enabled */
    readonly simulator?: SimulatorConfig;
  };
  /** tappd.sock */
  readonly internalV0: ListenerConfig;
  /** dstack.sock */
  readonly internal: ListenerConfig;
  readonly external: ListenerConfig;
  readonly guestApi: ListenerConfig;
}

const FILE_LIMIT = 1024 * 1024;

function defaults(): JsonObject {
  return {
    default: {
      workers: 8,
      max_blocking: 64,
      ident: 'dstack guest agent',
      temp_dir: '/tmp',
      keep_alive: 10,
      log_level: 'debug',
      core: {
        keys_file: hostShared('appKeys'),
        compose_file: hostShared('appCompose'),
        sys_config_file: hostShared('sysConfig'),
        data_disks: ['/'],
        scoped_sockets: '/run/dstack/scoped',
      },
    },
    'internal-v0': { address: 'unix:/var/run/dstack/tappd.sock', reuse: true },
    internal: { address: 'unix:/var/run/dstack/dstack.sock', reuse: true },
    external: { address: '0.0.0.0', port: 8090 },
    'guest-api': { address: 'vsock:0xffffffff', port: 8000 },
  };
}

export interface AgentConfigSources {
  /** the file of `-c`; a missing file counts as empty */
  readonly file?: string | undefined;
  /** where ./dstack.toml is looked for, default the working directory */
  readonly cwd?: string;
  /** prefix of /etc/dstack, for tests */
  readonly root?: string;
}

/** Reads and merges all layers. @throws CONFIG_INVALID naming file and field; FILE_* */
export async function loadAgentConfig(sources: AgentConfigSources = {}): Promise<AgentConfig> {
  const { file, cwd = process.cwd(), root = '/' } = sources;
  const folders = [join(root, 'etc/dstack'), cwd];
  const paths = folders.flatMap((folder) => [join(folder, 'dstack.toml'), join(folder, 'dstack.json')]);
  if (file !== undefined) paths.push(file);
  let merged: JsonObject = defaults();
  for (const path of paths) merged = merge(merged, await readLayer(path));
  return readAgentConfig(merged, file);
}

/** One layer; empty when the file does not exist. TOML by its suffix, everything else is JSON. */
async function readLayer(path: string): Promise<JsonObject> {
  const raw = await ifExists(() => readLimited(path, FILE_LIMIT));
  if (raw === undefined) return {};
  let document: unknown;
  try {
    const text = utf8(raw, path);
    document = path.endsWith('.toml') ? (await import('smol-toml')).parse(text) : parseStrictJson(text, path);
  } catch (thrown) {
    throw new DstackError('CONFIG_INVALID', `configuration file ${path} cannot be read`, { path, cause: thrown });
  }
  if (!isObject(document)) throw new DstackError('CONFIG_INVALID', 'the configuration must be an object', { path });
  for (const [profile, table] of Object.entries(document)) {
    if (isObject(table)) continue;
    throw new DstackError('CONFIG_INVALID', `profile ${profile} must be a table`, { path, field: profile });
  }
  return document;
}

/** Deep merge of plain tables; everything else is replaced. */
function merge(lower: JsonObject, upper: JsonObject): JsonObject {
  const entries = new Map(Object.entries(lower));
  for (const [key, value] of Object.entries(upper)) {
    const old = entries.get(key);
    entries.set(key, isTable(old) && isTable(value) ? merge(old, value) : value);
  }
  return Object.fromEntries(entries);
}

/** TOML dates are objects too, but no tables. */
const isTable = (value: unknown): value is JsonObject => isObject(value) && !(value instanceof Date);

function readAgentConfig(document: JsonObject, path: string | undefined): AgentConfig {
  const base = isTable(document['default']) ? document['default'] : {};
  const table = (name: string): Fields => {
    const own = document[name];
    return new Fields(merge(base, isTable(own) ? own : {}), { path, code: 'CONFIG_INVALID' }, name);
  };
  const common = table('default');
  const core = common.object('core') ?? common.fail('core', 'is missing');
  const simulator = readSimulator(core);
  return {
    workers: common.integer('workers', 8, 65_535),
    maxBlocking: common.integer('max_blocking', 64, 65_535),
    tempDir: common.string('temp_dir'),
    logLevel: common.string('log_level'),
    core: {
      keysFile: core.string('keys_file'),
      composeFile: core.string('compose_file'),
      sysConfigFile: core.string('sys_config_file'),
      dataDisks: core.strings('data_disks'),
      scopedSockets: core.string('scoped_sockets'),
      ...(simulator === undefined ? {} : { simulator }),
    },
    internalV0: readListener(table('internal-v0')),
    internal: readListener(table('internal')),
    external: readListener(table('external')),
    guestApi: readListener(table('guest-api')),
  };
}

function readListener(fields: Fields): ListenerConfig {
  const address = fields.string('address');
  const port = fields.has('port') ? { port: fields.integer('port', 0, 0xffff_ffff) } : {};
  return {
    address,
    ...port,
    reuse: fields.boolean('reuse', false),
    ident: fields.string('ident'),
    keepAlive: fields.integer('keep_alive', 10, 86_400),
  };
}

function readSimulator(core: Fields): SimulatorConfig | undefined {
  const fields = core.object('simulator');
  // a table that names evidence is meant: the platform's own file has no `enabled`
  const named =
    fields !== undefined && ['attestation_file', 'quote_file', 'event_log_file'].some((name) => fields.has(name));
  if (fields === undefined || !fields.boolean('enabled', named)) return undefined;
  const attestationFile = fields.optionalString('attestation_file');
  const quoteFile = fields.optionalString('quote_file');
  const eventLogFile = fields.optionalString('event_log_file');
  if (attestationFile !== undefined && (quoteFile ?? eventLogFile) !== undefined) {
    fields.fail('attestation_file', 'excludes quote_file and event_log_file');
  }
  if ((quoteFile === undefined) !== (eventLogFile === undefined)) {
    fields.fail(quoteFile === undefined ? 'quote_file' : 'event_log_file', 'is missing: both files belong together');
  }
  const evidence =
    quoteFile === undefined || eventLogFile === undefined
      ? { attestationFile: attestationFile ?? 'attestation.bin' }
      : { quoteFile, eventLogFile };
  return { ...evidence, patchReportData: fields.boolean('patch_report_data', true) };
}
