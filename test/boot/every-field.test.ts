/**
 * Every field of every document a guest reads, wrong in turn. Documents of the host go through the whole of `setup`: the
 * refusal must name the field, and come before anything is measured and before the disk is touched.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { setup } from '../../src/boot/run.ts';
import { loadAgentConfig } from '../../src/config/agent-config.ts';
import { parseAppKeys } from '../../src/config/app-keys.ts';
import { readEnvDocument } from '../../src/config/env-document.ts';
import { Fields } from '../../src/config/fields.ts';
import type { DstackError } from '../../src/errors.ts';
import { parseGatewayCache } from '../../src/net/gateway-cache.ts';
import FIELDS from '../vectors/document-fields.json' with { type: 'json' };
import { COMPOSE, FakeBootMachine, SYS_CONFIG } from './fake-boot-machine.ts';

type Document = keyof typeof FIELDS;

/** Wrong values by the kind of field. `undefined` removes a required field. */
const TEXT = [1, true, {}, ['x']];
const REQUIRED_TEXT = [...TEXT, null, undefined];
const FLAG = ['true', 1, null, []];
const LIST = ['x', {}, null, [1], [null]];
const OBJECT = ['x', 1, []];
const HEX = [1, 'abc', '0xabcd', 'zz', ' ab', ['ab']];
const COUNT = [-1, 1.5, '1', null, 2 ** 32, true];
const BYTES = [-1, 1.5, '1', null, 2 ** 64];
const BASE64 = [1, null, 'AA', 'A===', 'AA=A', '_w==', undefined];
const HASH = 'ab'.repeat(32);
const VOLUME = { source: 'data.img', verity_root: HASH, target: '/data' };

/** A wrong value, or one with the other fields it needs to be wrong by itself. */
class With {
  readonly value: unknown;
  readonly base: Record<string, unknown>;
  constructor(value: unknown, base: Record<string, unknown>) {
    this.value = value;
    this.base = base;
  }
}
const with3 = (...values: unknown[]) => values.map((value) => new With(value, { manifest_version: '3' }));

const WRONG: Record<string, readonly unknown[]> = {
  'app-compose.json manifest_version': [
    0,
    3,
    -1,
    1.5,
    true,
    null,
    undefined,
    {},
    '',
    '0',
    '03',
    '+3',
    '3.0',
    '4',
    'two',
  ],
  'app-compose.json name': REQUIRED_TEXT,
  'app-compose.json features': LIST,
  'app-compose.json runner': REQUIRED_TEXT,
  'app-compose.json snapshotter': [1, 'zfs', '', 'overlayfs', ['stargz']],
  'app-compose.json docker_compose_file': TEXT,
  'app-compose.json init_script': [1, {}, ['a', 1], [null], ['1', '2', '3', '4', '5', '6']],
  'app-compose.json public_logs': FLAG,
  'app-compose.json public_sysinfo': FLAG,
  'app-compose.json public_tcbinfo': FLAG,
  'app-compose.json kms_enabled': FLAG,
  'app-compose.json gateway_enabled': FLAG,
  'app-compose.json tproxy_enabled': FLAG,
  'app-compose.json local_key_provider_enabled': FLAG,
  'app-compose.json key_provider': [1, 'KMS', 'vault', '', ['kms']],
  'app-compose.json key_provider_id': HEX,
  'app-compose.json allowed_envs': LIST,
  'app-compose.json no_instance_id': FLAG,
  'app-compose.json secure_time': FLAG,
  'app-compose.json storage_fs': [1, 'btrfs', '', ['zfs']],
  'app-compose.json swap_size': [-1, 1.5, null, '', '1.5G', '2GB', '0x', 'G', '-1', '99999999999T', true],
  'app-compose.json event_log_version': [0, 3, '1', 1.5, null],
  'app-compose.json port_policy': [...OBJECT, null],
  'app-compose.json port_policy.ports': ['x', {}, null, [1], ['80']],
  'app-compose.json port_policy.ports[0].port': [undefined, -1, 65_536, '80', 1.5, null],
  'app-compose.json port_policy.ports[0].pp': FLAG,
  'app-compose.json port_policy.restrict_mode': FLAG,
  'app-compose.json requirements': [...OBJECT, { unknown: 1 }, {}],
  'app-compose.json requirements.os_version': with3(1, 'one', '>=', '1.2.3.4', '>9', '=>1', '1.*.3', []),
  'app-compose.json requirements.platforms': with3('dstack-tdx', ['dstack-tdx', 'tdx'], [1], [], {}),
  'app-compose.json requirements.tdx_measure_acpi_tables': with3('true', 1, false),
  'app-compose.json requirements.launch_token_hash': with3(1, 'ab', `0x${HASH}`, 'zz'.repeat(32), HASH),
  'app-compose.json requirements.gpu_policy': with3('x', 1, [], { unknown: true }),
  'app-compose.json requirements.gpu_policy.attest_gpu': with3(...FLAG),
  'app-compose.json requirements.gpu_policy.rego': with3(...TEXT),
  'app-compose.json requirements.gpu_policy.allow_devtools': with3(...FLAG),
  'app-compose.json requirements.gpu_policy.allow_debug': with3(...FLAG),
  'app-compose.json requirements.gpu_policy.allow_insecure_boot': with3(...FLAG),
  'app-compose.json verity_volumes': ['x', {}, null, [1], [VOLUME, VOLUME]],
  'app-compose.json verity_volumes[0].source': REQUIRED_TEXT,
  'app-compose.json verity_volumes[0].verity_root': [undefined, ...HEX, 'ab', 'ab'.repeat(33)],
  'app-compose.json verity_volumes[0].target': [...REQUIRED_TEXT, 'data', ''],
  'app-compose.json pre_launch_script': TEXT,
  'app-compose.json bash_script': TEXT,
  'app-compose.json agent_sockets': ['x', {}, null, [1], [{ name: 'a', allow: ['Info'], unknown: 1 }]],
  'app-compose.json agent_sockets[0].name': [...REQUIRED_TEXT, '', 'A', 'a/b', '-a', '..', 'a'.repeat(33)],
  'app-compose.json agent_sockets[0].allow': [...LIST, undefined, [], ['getkey'], ['Info', 'Info']],
  'app-compose.json agent_sockets[0].key_prefix': [1, true, {}, '', 'a', '/a/', '../', 'a//', 'a b/'],

  '.sys-config.json kms_urls': LIST,
  '.sys-config.json gateway_urls': LIST,
  '.sys-config.json tproxy_urls': [...LIST, new With([], { gateway_urls: [] })],
  '.sys-config.json pccs_url': TEXT,
  '.sys-config.json collateral_urls': [...OBJECT, { unknown: '' }],
  '.sys-config.json collateral_urls.pccs': TEXT,
  '.sys-config.json collateral_urls.amd_kds': TEXT,
  '.sys-config.json nvidia_attestation_proxy_url': TEXT,
  '.sys-config.json docker_registry': TEXT,
  '.sys-config.json host_api_url': TEXT,
  '.sys-config.json mr_config': TEXT,
  '.sys-config.json vm_config': [...REQUIRED_TEXT, '', 'x', '[]', '1'],
  '.sys-config.json vm_config.os_image_hash': HEX,
  '.sys-config.json vm_config.cpu_count': COUNT,
  '.sys-config.json vm_config.memory_size': BYTES,
  '.sys-config.json vm_config.qemu_single_pass_add_pages': ['true', 1, []],
  '.sys-config.json vm_config.pic': ['true', 0, []],
  '.sys-config.json vm_config.qemu_version': TEXT,
  '.sys-config.json vm_config.pci_hole64_size': BYTES,
  '.sys-config.json vm_config.hugepages': FLAG,
  '.sys-config.json vm_config.num_gpus': COUNT,
  '.sys-config.json vm_config.num_nvswitches': COUNT,
  '.sys-config.json vm_config.num_nics': COUNT,
  '.sys-config.json vm_config.num_verity_volumes': COUNT,
  '.sys-config.json vm_config.swtpm': FLAG,
  '.sys-config.json vm_config.hotplug_off': FLAG,
  '.sys-config.json vm_config.image': TEXT,
  '.sys-config.json vm_config.host_share_mode': TEXT,
  '.sys-config.json vm_config.ovmf_variant': [1, 'post202505', ''],
  '.sys-config.json vm_config.tdx_attestation_variant': [1, 'full', ''],
  '.sys-config.json vm_config.mr_config': TEXT,
  ...Object.fromEntries(
    ['tdx', 'gcp', 'aws'].flatMap((name) => [
      [`.sys-config.json vm_config.${name}_measurement`, OBJECT],
      [`.sys-config.json vm_config.${name}_measurement.checksum_file`, BASE64],
      [`.sys-config.json vm_config.${name}_measurement.measurement`, BASE64],
    ]),
  ),

  '.instance_info instance_id_seed': HEX,
  '.instance_info instance_id': HEX,
  '.instance_info app_id': [...HEX, 'ab', 'ab'.repeat(21)],

  '.appkeys.json disk_crypt_key': [...HEX, undefined, null, 'ab', 'ab'.repeat(33)],
  '.appkeys.json env_crypt_key': [...HEX],
  '.appkeys.json k256_key': [...HEX, undefined, null, 'ab', 'ab'.repeat(33)],
  '.appkeys.json k256_signature': [...HEX, undefined, null, 'ab', 'ab'.repeat(64)],
  '.appkeys.json gateway_app_id': REQUIRED_TEXT,
  '.appkeys.json ca_cert': REQUIRED_TEXT,
  '.appkeys.json key_provider': ['None', null, undefined, {}, { none: {} }, { None: {}, Local: {} }, { Vault: {} }],
  '.appkeys.json key_provider.None.key': REQUIRED_TEXT,
  '.appkeys.json key_provider.Local.key': REQUIRED_TEXT,
  '.appkeys.json key_provider.Local.mr': [...HEX, undefined, null],
  '.appkeys.json key_provider.Tpm.key': REQUIRED_TEXT,
  '.appkeys.json key_provider.Tpm.pubkey': [...HEX, undefined, null],
  '.appkeys.json key_provider.Kms.url': REQUIRED_TEXT,
  '.appkeys.json key_provider.Kms.pubkey': [...HEX, undefined, null],
  '.appkeys.json key_provider.Kms.tmp_ca_key': REQUIRED_TEXT,
  '.appkeys.json key_provider.Kms.tmp_ca_cert': REQUIRED_TEXT,

  'agent.json default.workers': [-1, 65_536, '8', 1.5, null],
  'agent.json default.max_blocking': [-1, '64', 1.5, null],
  'agent.json default.ident': [1, null, []],
  'agent.json default.temp_dir': [1, null, []],
  'agent.json default.keep_alive': [-1, '10', 1.5, null],
  'agent.json default.log_level': [1, null, []],
  'agent.json default.core': ['x', 1, null],
  'agent.json default.core.keys_file': [1, null, []],
  'agent.json default.core.compose_file': [1, null, []],
  'agent.json default.core.sys_config_file': [1, null, []],
  'agent.json default.core.data_disks': ['/', {}, null, [1]],
  'agent.json default.core.scoped_sockets': [1, null, []],
  'agent.json internal-v0.address': [1, null, []],
  'agent.json internal-v0.reuse': FLAG,
  'agent.json internal.address': [1, null, []],
  'agent.json internal.reuse': FLAG,
  'agent.json external.address': [1, null, []],
  'agent.json external.port': [-1, '8090', 1.5, null],
  'agent.json guest-api.address': [1, null, []],
  'agent.json guest-api.port': [-1, '8000', 1.5, null, 2 ** 32],

  '.encrypted-env env': [undefined, null, 'x', {}, [1], ['A=b'], Array(1025).fill({ key: 'A', value: '' })],
  '.encrypted-env env[0].key': [...REQUIRED_TEXT, '', '1A', 'A-B', 'A B', 'A\n', 'É', 'A'.repeat(256)],
  '.encrypted-env env[0].value': [...REQUIRED_TEXT, 'x'.repeat(131_073)],

  'gateway-cache.json client_cert': REQUIRED_TEXT,
  'gateway-cache.json client_cert_with_quote': REQUIRED_TEXT,
  'gateway-cache.json client_key': REQUIRED_TEXT,
  'gateway-cache.json cert_not_after': [undefined, null, -1, '1', 1.5],
  'gateway-cache.json wg_sk': [...REQUIRED_TEXT, '', 'short', `${'A'.repeat(43)}=\n`],
  'gateway-cache.json wg_pk': [...REQUIRED_TEXT, '', 'short', `${'A'.repeat(42)}==`],
};

/** Where the code of the refusal is not DOCUMENT_INVALID: values that are well formed but refused by a rule. */
const CODES: Record<string, string[]> = {
  '.appkeys.json': ['KEYS_FILE_INVALID'],
  'agent.json': ['CONFIG_INVALID'],
  '.encrypted-env': ['ENV_MALFORMED'],
  'gateway-cache.json': ['DOCUMENT_INVALID'],
  'app-compose.json': [
    'DOCUMENT_INVALID',
    'MANIFEST_UNSUPPORTED',
    'REQUIREMENT_UNMET',
    'SCRIPT_LIMIT',
    'STORAGE_OPTION_INVALID',
  ],
};

const CERT = '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n';
const PROVIDER: Record<string, Record<string, string>> = {
  None: { key: 'k' },
  Local: { key: 'k', mr: HASH },
  Tpm: { key: 'k', pubkey: HASH },
  Kms: { url: 'https://kms/prpc', pubkey: HASH, tmp_ca_key: 'k', tmp_ca_cert: CERT },
};

/** A good document that has the object a field sits in. */
function goodDocument(document: Document, field: string): Record<string, unknown> {
  switch (document) {
    case 'app-compose.json':
      return {
        ...COMPOSE,
        ...(field.startsWith('port_policy.ports[') ? { port_policy: { ports: [{ port: 80 }] } } : {}),
        ...(field.startsWith('agent_sockets[') ? { agent_sockets: [{ name: 'a', allow: ['Info'] }] } : {}),
        ...(field.startsWith('verity_volumes[') ? { verity_volumes: [{ ...VOLUME }] } : {}),
      };
    case '.sys-config.json': {
      const measurement = /vm_config\.(\w+_measurement)\./.exec(field)?.[1];
      const vm = measurement === undefined ? {} : { [measurement]: { checksum_file: 'AA==', measurement: 'AA==' } };
      return { ...SYS_CONFIG, vm_config: field.startsWith('vm_config.') ? vm : '{}' };
    }
    case '.appkeys.json': {
      const tag = /key_provider\.(\w+)\./.exec(field)?.[1] ?? 'None';
      return {
        disk_crypt_key: HASH,
        env_crypt_key: '',
        k256_key: HASH,
        k256_signature: '',
        gateway_app_id: 'any',
        ca_cert: CERT,
        key_provider: { [tag]: { ...PROVIDER[tag] } },
      };
    }
    case '.encrypted-env':
      return { env: [{ key: 'A', value: 'b' }] };
    case 'gateway-cache.json':
      return {
        client_cert: CERT,
        client_cert_with_quote: CERT,
        client_key: 'k',
        cert_not_after: 1_900_000_000,
        wg_sk: `${'A'.repeat(43)}=`,
        wg_pk: `${'B'.repeat(42)}A=`,
      };
    default:
      return {};
  }
}

/** Sets `a.b[0].c`; objects on the way are made; undefined removes. */
function put(document: Record<string, unknown>, field: string, value: unknown): void {
  const steps = field.split(/\.|\[|\]\.?/).filter((step) => step !== '');
  const last = steps.pop() ?? '';
  let at = document as Record<string, unknown>;
  for (const step of steps) {
    at[step] ??= {};
    at = at[step] as Record<string, unknown>;
  }
  if (value === undefined) delete at[last];
  else at[last] = value;
}

/** vm_config travels as text inside the document. */
function text(document: Document, field: string, content: Record<string, unknown>): string {
  if (document !== '.sys-config.json' || !field.startsWith('vm_config.')) return JSON.stringify(content);
  return JSON.stringify({ ...content, vm_config: JSON.stringify(content['vm_config']) });
}

let machine: FakeBootMachine;
let dir: string;
beforeEach(async () => {
  machine = new FakeBootMachine();
  await machine.begin();
  dir = await mkdtemp(join(tmpdir(), 'agent-'));
});
afterEach(async () => {
  await machine.end();
  await rm(dir, { recursive: true });
});

/** Hands the text to the reader of the document. */
async function read(document: Document, content: string): Promise<unknown> {
  const raw = new TextEncoder().encode(content);
  switch (document) {
    case '.appkeys.json':
      return parseAppKeys(raw);
    case '.encrypted-env':
      return readEnvDocument(
        raw,
        ['', '1A', 'A', 'A-B', 'A B', 'A\n', 'É', 'A'.repeat(256)],
        () => {},
        () => {},
      );
    case 'gateway-cache.json':
      return parseGatewayCache(raw);
    case 'agent.json':
      await writeFile(join(dir, 'agent.json'), content);
      return loadAgentConfig({ root: dir, cwd: join(dir, 'none'), file: join(dir, 'agent.json') });
    default:
      await machine.share(document, content);
      return setup(machine.options, machine.dependencies());
  }
}

const fails = (document: Document, content: string): Promise<DstackError | undefined> =>
  read(document, content).then(
    () => undefined,
    (thrown: DstackError) => thrown,
  );

const ALL = (Object.keys(FIELDS) as Document[]).flatMap((document) =>
  FIELDS[document].map((field): [Document, string] => [document, field]),
);

describe('the list of fields', () => {
  it('and the table of wrong values have the same entries', () => {
    expect(Object.keys(WRONG).sort()).toEqual(ALL.map((pair) => pair.join(' ')).sort());
  });
});

describe('a wrong field is refused by name before anything is measured', () => {
  it.each(ALL)('%s: %s', async (document, field) => {
    for (const entry of WRONG[`${document} ${field}`] ?? []) {
      const { value, base } = entry instanceof With ? entry : new With(entry, {});
      const content = { ...goodDocument(document, field), ...base };
      put(content, field, value);
      const shown = JSON.stringify(value)?.slice(0, 60);
      const error = await fails(document, text(document, field, content));
      expect(error, `${field} = ${shown} was accepted`).toBeDefined();
      expect(CODES[document] ?? ['DOCUMENT_INVALID'], `${field} = ${shown}: ${error?.message}`).toContain(error?.code);
      expect(`${error?.field}`, `${field} = ${shown}: ${error?.message}`).toContain(topOf(field));
      expect(machine.events).toEqual([]);
      expect(machine.steps).toEqual([]);
    }
  });
});

describe('the readers', () => {
  it.each(Object.keys(FIELDS) as Document[])('look at no field of %s that the list does not have', async (document) => {
    const seen = new Set<string>();
    const { raw } = Fields.prototype;
    const spy = vi.spyOn(Fields.prototype, 'raw').mockImplementation(function (this: Fields, field) {
      seen.add(this.name(field).replace(/\[\d+\]/g, '[0]'));
      return raw.call(this, field);
    });
    const good = FIELDS[document].map((field) => text(document, field, goodDocument(document, field)));
    for (const content of new Set(good)) await fails(document, content);
    spy.mockRestore();
    if (document === '.encrypted-env') return; // read without Fields: its names may be secrets
    // setup reads the three documents of the host together
    const together = HOST.includes(document) ? HOST : [document];
    const known = new Set<string>([...together.flatMap((name) => FIELDS[name]), ...(BESIDE[document] ?? [])]);
    expect([...seen].filter((name) => !known.has(name) && !known.has(inherited(name)))).toEqual([]);
    expect(seen.size).toBeGreaterThan(2);
  });
});

describe('the good documents of this test', () => {
  it.each(ALL)('%s with the surroundings of %s is accepted', async (document, field) => {
    if (field === 'vm_config') return;
    const content = goodDocument(document, field);
    expect(await fails(document, text(document, field, content))).toBeUndefined();
  });
});

const HOST: Document[] = ['app-compose.json', '.sys-config.json', '.instance_info'];

/** Members beside the list: only development sets them, they mean nothing there, or a tag stands for what is below it. */
const BESIDE: Partial<Record<Document, string[]>> = {
  '.appkeys.json': ['key_provider.None', 'key_provider.Local', 'key_provider.Tpm', 'key_provider.Kms'],
  'agent.json': ['default.core.simulator', 'external.reuse', 'guest-api.reuse'],
};

/** A named profile of agent.json inherits every key of `default`. */
const inherited = (name: string): string => name.replace(/^(internal-v0|internal|external|guest-api)\./, 'default.');

/** The member of the document a refusal must name; rules between fields may name the other one of the two. */
function topOf(field: string): string {
  const last = field.split('.').at(-1) ?? field;
  return field === 'requirements' || field === 'tproxy_urls' ? '' : last.replace(/\[0\]$/, '');
}
