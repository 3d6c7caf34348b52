/**
 * The expectation file: everything that a relying party demands of a guest, in one JSON document (schema:
 * docs/schemas/expectations.v1.json). Read strictly: a field that is not known, or null, would be a demand that nobody checks.
 */
import { bytesOfText } from '../codec/bytes-text.ts';
import { toHex } from '../codec/hex.ts';
import { utf8Bytes } from '../codec/text.ts';
import { Fields } from '../config/fields.ts';
import { parseStrictJsonBytes } from '../config/strict-json.ts';
import { parseVmConfig, type VmConfig } from '../config/vm-config.ts';
import { DstackError } from '../errors.ts';
import { readBoundMeasurement, readMeasurementDocument, readSystemPins } from '../os-image/os-image.ts';
import { type Certificate, parsePemCertificate } from '../x509/x509.ts';
import { EXPECTATION_VERSION } from './expectation-version.ts';
import type { ExpectableName, Expectations } from './expectations.ts';
import { documentReference, pinsReference, type SystemReference } from './system-reference.ts';
import { allowedStatuses, type TcbStatus } from './tcb-policy.ts';

export interface ExpectationFile {
  readonly expect: Expectations;
  /** the file says that any app will do */
  readonly anyApp: boolean;
  readonly references: readonly SystemReference[];
  readonly vmConfig?: VmConfig;
  /** whom quotes must lead to; Intel's root when absent */
  readonly root?: { readonly certificate: Certificate } | { readonly sha256: string };
  readonly allowed: readonly TcbStatus[];
  readonly refusedAdvisories: readonly string[];
  readonly allowUnencrypted: boolean;
  /** report data must be demanded beside the file */
  readonly freshRequired: boolean;
}

type Pins = Readonly<Record<string, readonly [name: ExpectableName, bytes: number]>>;
const OF_APP: Pins = {
  app_id: ['app-id', 20],
  compose_hash: ['compose-hash', 32],
  instance_id: ['instance-id', 20],
  rtmr3: ['rtmr3', 48],
  mr_config_id: ['mr-config-id', 48],
  mr_owner: ['mr-owner', 48],
  mr_owner_config: ['mr-owner-config', 48],
  mr_aggregated: ['mr-aggregated', 32],
};
const OF_SYSTEM: Pins = {
  mrtd: ['mrtd', 48],
  rtmr0: ['rtmr0', 48],
  rtmr1: ['rtmr1', 48],
  rtmr2: ['rtmr2', 48],
  mr_system: ['mr-system', 32],
};
const OF_MACHINE: Pins = {
  device_id: ['device-id', 32],
  mr_seam: ['mr-seam', 48],
  td_attributes: ['td-attributes', 8],
};
const IMAGE_HASH: Pins = { os_image_hash: ['os-image-hash', 32] };

const TOP = ['$schema', 'version', 'app', 'image', 'machine', 'root', 'tcb', 'report_data', 'events'];
const MEMBERS = {
  top: [...TOP, 'key_provider', 'storage'],
  app: [...Object.keys(OF_APP), 'events'],
  image: ['os_image_hash', 'measurement', 'registers', 'predicted', 'vm_config'],
  predicted: ['os_image_hash', 'mrtd', 'rtmr0', 'rtmr1', 'rtmr2', 'events', 'unknown', 'assumed'],
} as const;

/** Refuses members that are not known, and null, which is no value here. */
function strict(fields: Fields, known: readonly string[], nullable: readonly string[] = []): Fields {
  fields.denyUnknown(known);
  for (const key of fields.keys()) {
    if (fields.raw(key) === null && !nullable.includes(key)) fields.fail(key, 'must not be null: leave it out', null);
  }
  return fields;
}

/** Reads an expectation file. @throws JSON_INVALID, DOCUMENT_INVALID naming the field */
export function parseExpectationFile(bytes: Uint8Array, path: string): ExpectationFile {
  const file = new Fields(parseStrictJsonBytes(bytes, path), { path });
  if (file.raw('version') !== EXPECTATION_VERSION || !file.isInteger('version')) {
    file.fail('version', `must be ${EXPECTATION_VERSION}: this is the version that is read here`, file.raw('version'));
  }
  strict(file, MEMBERS.top);
  const values = new Map<ExpectableName, string>();
  const anyApp = file.raw('app') === 'any';
  const app = anyApp ? undefined : file.object('app');
  const image = file.object('image');
  const machine = file.object('machine');
  if (app !== undefined) pins(strict(app, MEMBERS.app), OF_APP, values);
  if (machine !== undefined) pins(strict(machine, Object.keys(OF_MACHINE)), OF_MACHINE, values);
  for (const part of ['app', 'image', 'machine']) {
    if (!anyApp && file.object(part)?.keys().length === 0) file.fail(part, 'must say something, or be left out');
  }
  const references = image === undefined ? [] : readImage(strict(image, MEMBERS.image), values, path);
  const shape = image?.object('vm_config');
  const predicted = app?.has('events') ? readEvents(app) : undefined;
  const keyProvider = readKeyProvider(file);
  const root = readRoot(file);
  return {
    expect: {
      values: withReportData(file, values),
      events: readEventPins(file),
      ...(keyProvider === undefined ? {} : { keyProvider }),
      ...(predicted === undefined ? {} : { predicted }),
    },
    anyApp,
    references,
    ...(shape === undefined ? {} : { vmConfig: parseVmConfig(shape) }),
    ...(root === undefined ? {} : { root }),
    ...readTcb(file),
    allowUnencrypted: choice(file, 'storage', ['encrypted', 'any']) === 'any',
    freshRequired: file.raw('report_data') === 'required',
  };
}

/** Adds what an object pins. @param values by the names of `--expect` */
function pins(fields: Fields, known: Pins, values: Map<ExpectableName, string>): void {
  for (const [member, [name, bytes]] of Object.entries(known)) {
    const value = fields.optionalHex(member, bytes);
    if (value !== undefined) values.set(name, toHex(value));
  }
}

function readEvents(app: Fields): { event: string; payload: string | null }[] {
  const events = app.objects('events').map((event) => {
    strict(event, ['event', 'payload'], ['payload']);
    if (!event.has('payload')) event.fail('payload', 'is missing: null for one that is not known');
    const payload = event.optionalHex('payload');
    return { event: event.string('event'), payload: payload === undefined ? null : toHex(payload) };
  });
  if (events.length === 0) app.fail('events', 'must not be empty');
  return events;
}

function readImage(image: Fields, values: Map<ExpectableName, string>, path: string): SystemReference[] {
  pins(image, IMAGE_HASH, values);
  const registers = image.object('registers');
  if (registers !== undefined) pins(strict(registers, Object.keys(OF_SYSTEM)), OF_SYSTEM, values);
  if (registers?.keys().length === 0) image.fail('registers', 'must say something, or be left out');
  const references: SystemReference[] = [];
  const measurement = image.object('measurement');
  if (measurement !== undefined) references.push(readMeasurement(image, measurement, path));
  const predicted = image.object('predicted');
  if (predicted !== undefined) {
    strict(predicted, MEMBERS.predicted, ['os_image_hash', 'mrtd', 'rtmr0', 'rtmr1', 'rtmr2']);
    references.push(pinsReference(`prediction in ${path}`, readSystemPins(predicted)));
  }
  return references;
}

/** The measurement document, and the chain from it to os_image_hash where the checksum file is there as well. */
function readMeasurement(image: Fields, fields: Fields, path: string): SystemReference {
  strict(fields, ['document', 'checksums']);
  const name = `measurement document in ${path}`;
  const hash = image.optionalHex('os_image_hash');
  const checksums = fields.optionalString('checksums');
  try {
    const measurement = bytesOfText(fields.string('document')).bytes;
    if (checksums === undefined)
      return documentReference('document', name, readMeasurementDocument(measurement, path), hash);
    const bound = readBoundMeasurement({ measurement, checksumFile: utf8Bytes(checksums) });
    if (hash !== undefined && toHex(hash) !== toHex(bound.osImageHash)) {
      image.fail(
        'os_image_hash',
        `is not the SHA-256 of measurement.checksums, ${toHex(bound.osImageHash)}`,
        toHex(hash),
      );
    }
    return documentReference('document', name, bound.document, bound.osImageHash);
  } catch (thrown) {
    if (thrown instanceof DstackError && thrown.code === 'DOCUMENT_INVALID') throw thrown;
    throw new DstackError('DOCUMENT_INVALID', `field ${fields.name('document')} cannot be used`, {
      path,
      field: fields.name('document'),
      cause: thrown,
    });
  }
}

function readKeyProvider(file: Fields): string | undefined {
  const provider = file.object('key_provider');
  if (provider === undefined) return undefined;
  strict(provider, ['name', 'id']);
  const name = choice(provider, 'name', ['none', 'local-sgx', 'tpm', 'kms']);
  if (name === undefined) provider.fail('name', 'is missing');
  const id = provider.optionalHex('id');
  return id === undefined ? name : `${name}:${toHex(id)}`;
}

function readEventPins(file: Fields): Map<string, string> {
  const events = file.object('events');
  const names = events?.keys() ?? [];
  return new Map(names.map((name) => [name, toHex(strict(events as Fields, names).requiredHex(name))]));
}

function readRoot(file: Fields): ExpectationFile['root'] {
  const root = file.object('root');
  if (root === undefined) return undefined;
  strict(root, ['pem', 'sha256']);
  if (root.has('pem') === root.has('sha256')) root.fail('', 'must have pem or sha256, and not both');
  if (root.has('sha256')) return { sha256: toHex(root.requiredHex('sha256', 32)) };
  try {
    return { certificate: parsePemCertificate(root.string('pem'), root.name('pem')) };
  } catch (thrown) {
    if (thrown instanceof DstackError && thrown.code === 'DOCUMENT_INVALID') throw thrown;
    const { path } = file.options;
    const field = root.name('pem');
    throw new DstackError('DOCUMENT_INVALID', `field ${field} is not a certificate`, { path, field, cause: thrown });
  }
}

function readTcb(file: Fields): Pick<ExpectationFile, 'allowed' | 'refusedAdvisories'> {
  const tcb = file.object('tcb');
  if (tcb !== undefined) strict(tcb, ['allowed_statuses', 'refused_advisories']);
  const refusedAdvisories = tcb?.strings('refused_advisories') ?? [];
  for (const [at, id] of refusedAdvisories.entries()) {
    if (!/^INTEL-SA-\d{5}$/.test(id))
      tcb?.fail(`refused_advisories[${at}]`, 'must be an id such as INTEL-SA-00828', id);
  }
  const statuses = tcb?.strings('allowed_statuses') ?? [];
  try {
    return { allowed: allowedStatuses(statuses), refusedAdvisories };
  } catch (thrown) {
    const { value, hint } = thrown as DstackError;
    throw new DstackError('DOCUMENT_INVALID', 'field tcb.allowed_statuses holds a status that cannot be allowed', {
      path: file.options.path,
      field: 'tcb.allowed_statuses',
      value,
      hint,
    });
  }
}

const REPORT_DATA_BYTES = 64;

/** Report data in the file itself pins one answer for ever, for example that of a kept attestation. */
function withReportData(file: Fields, values: Map<ExpectableName, string>): Map<ExpectableName, string> {
  if (file.raw('report_data') === 'required') return values;
  const data = file.optionalHex('report_data');
  if (data === undefined) return values;
  if (data.length > REPORT_DATA_BYTES) file.fail('report_data', `has ${data.length} bytes, at most 64 are possible`);
  return values.set('report-data', toHex(data).padEnd(2 * REPORT_DATA_BYTES, '0'));
}

function choice<T extends string>(fields: Fields, field: string, choices: readonly T[]): T | undefined {
  const text = fields.optionalString(field);
  const found = choices.find((known) => known === text);
  if (text !== undefined && found === undefined) fields.fail(field, `must be one of ${choices.join(', ')}`, text);
  return found;
}
