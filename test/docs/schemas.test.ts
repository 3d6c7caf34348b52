/** docs/schemas: current, valid, and what the commands really print, strictly: no field that the schema does not name. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { schemaFiles, WRITTEN } from '../../scripts/schemas/files.ts';
import { FOREIGN, OWN } from '../../scripts/schemas/results.ts';
import { mockCcel } from '../../simulator/mock-ccel.ts';
import { encodeVersioned } from '../../src/tdx/attestation.ts';
import { sampleAttestation } from '../tdx/sample.ts';

const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
const SLOW = 120_000;
/** the base point of X25519: any public key will do */
const KEY = `09${'00'.repeat(31)}`;

/** Every object of a schema takes only the fields that it names: what a test wants, not what readers should. */
function strict(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(strict);
  if (schema === null || typeof schema !== 'object') return schema;
  const out = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, strict(value)]));
  return 'properties' in out && !('additionalProperties' in out) ? { ...out, additionalProperties: false } : out;
}

const ajv = new Ajv2020({ strict: true, strictRequired: false, allErrors: true });
addFormats.default(ajv);
const schemaOf = (name: string) => JSON.parse(readFileSync(`docs/schemas/${name}.json`, 'utf8'));
const validators = new Map(
  readdirSync('docs/schemas')
    .filter((name) => name.endsWith('.json'))
    .map((file) => [file.slice(0, -'.json'.length), ajv.compile(strict(schemaOf(file.slice(0, -5))) as object)]),
);

let dir: string;
const file = (name: string) => join(dir, name);
const write = (name: string, text: string | Uint8Array) => writeFileSync(file(name), text);

const APP = {
  manifest_version: 2,
  name: 'shop',
  runner: 'docker-compose',
  docker_compose_file: 'services:\n  web:\n    image: nginx:1\n',
  key_provider: 'none',
  allowed_envs: ['A'],
  pre_launch_script: 'true',
};
const RECORD = {
  sequence: 'setup',
  phase: 'request app keys',
  start: '2026-01-01T00:00:00Z',
  durationMs: 1.5,
  cpuMs: 1,
  events: [{ name: 'app-id', digest: 'aa' }],
  outcome: 'failed',
  notes: ['no'],
  error: 'no KMS answered [KMS_UNREACHABLE]',
};

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'schemas-'));
  write('app-compose.json', JSON.stringify(APP));
  write('compose.yaml', APP.docker_compose_file);
  write('v0.bin', encodeVersioned(sampleAttestation(1)));
  write('v1.bin', encodeVersioned(sampleAttestation(2)));
  write('boot.jsonl', `${JSON.stringify(RECORD)}\n`);
  write('CCEL', mockCcel());
  writeFileSync(file('env'), 'A=1\n', { mode: 0o600 });
  mkdirSync(file('docker/containers'), { recursive: true });
  mkdirSync(file('work/.host-shared'), { recursive: true });
  const { docker_compose_file: _, ...script } = APP;
  write('work/.host-shared/app-compose.json', JSON.stringify({ ...script, runner: 'bash', bash_script: 'true' }));
  await run(BUN, ['simulator/dstack-sim.ts', 'attestation', '--out', file('canned')]);
}, SLOW);
afterAll(() => rmSync(dir, { recursive: true }));

function run(program: string, args: readonly string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const env = {
      PATH: process.env['PATH'] ?? '',
      NO_COLOR: '1',
      DSTACK_CCEL_FILE: file('CCEL'),
    };
    const child = execFile(program, args, { env, timeout: SLOW }, (failure, stdout, stderr) =>
      resolve({ status: failure === null ? 0 : Number(failure.code), stdout, stderr }),
    );
    child.stdin?.end();
  });
}

describe('the files', () => {
  it('are current (npm run docs)', () => {
    const files = schemaFiles();
    expect(readdirSync('docs/schemas').toSorted()).toEqual([...files.keys(), ...WRITTEN].toSorted());
    for (const [name, text] of files) expect(readFileSync(`docs/schemas/${name}`, 'utf8'), name).toBe(text);
  });

  it('are schemas of draft 2020-12', () => {
    for (const name of [...Object.keys(OWN), ...Object.keys(FOREIGN)])
      expect(ajv.validateSchema(schemaOf(name)), name).toBe(true);
  });

  it('name fields with underscores', () => {
    const names = [...JSON.stringify([OWN, FOREIGN]).matchAll(/"required":\[([^\]]*)\]/g)].join();
    expect(names).not.toMatch(/"[a-z]+[A-Z]/);
  });
});

/** Schema, and how to get such a document. The exit status may tell of a failure, the document must be whole. */
const COMMANDS: readonly (readonly [name: string, args: () => readonly string[]])[] = [
  ['error', () => ['fde', 'status', '--device', '/dev/nope', '--json']],
  ['error', () => ['verify', '--json']],
  ['error', () => ['app', 'hash', '/nope', '--json']],
  ['app-check', () => ['app', 'check', file('app-compose.json'), '--json']],
  ['app-check', () => ['app', 'check', file('compose.yaml'), '--json']],
  ['app-hash', () => ['app', 'hash', file('app-compose.json'), '--json']],
  ['app-init', () => ['app', 'init', file('compose.yaml'), '--out', file('made.json'), '--json']],
  ['attest-info', () => ['attest-info', '-i', file('v0.bin'), '--json']],
  ['attest-info', () => ['attest-info', '-i', file('v1.bin'), '--json']],
  ['attest-json', () => ['attest-json', '-i', file('v0.bin')]],
  ['attest-json', () => ['attest-json', '-i', file('v1.bin')]],
  ['boot-failed', () => ['boot-failed', '--file', file('boot.jsonl'), '--dry-run', '--json']],
  ['deploy-hold', () => ['deploy', 'hold', '--docker-root', file('docker'), '--json']],
  ['deploy-start-plan', () => ['deploy', 'start', '--plan', '--json', '--work-dir', file('work')]],
  ['deploy-start-plan', () => ['deploy', 'start', '--plan', '--json', '--dir', file('work')]],
  ['deploy-start-plan', () => ['deploy', 'start', '--plan', '--json', '--host-shared', file('work/.host-shared')]],
  ['deploy-stop-plan', () => ['deploy', 'stop', '--plan', '--json']],
  ['derive-key', () => ['derive-key', '--path', 'a', '--keys-file', file('canned/appkeys.json'), '--json']],
  ['doctor', () => ['doctor', '--json']],
  ['env-check', () => ['env', 'check', '--env', file('env'), '--app-compose', file('app-compose.json'), '--json']],
  ['env-encrypt', () => ['env', 'encrypt', '--env', file('env'), '--public-key', KEY, '--trust-key', '--json']],
  [
    'env-encrypt',
    () => ['env', 'encrypt', '--env', file('env'), '--public-key', KEY, '--trust-key', '-o', file('enc'), '--json'],
  ],
  ['eventlog', () => ['eventlog']],
  ['fde-volumes-list', () => ['fde', 'volumes', 'list', '--json']],
  ['fde-volumes-status', () => ['fde', 'volumes', 'status', file('app-compose.json'), '--json']],
  ['measure', () => ['measure', file('app-compose.json'), '--json']],
  ['plan', () => ['prepare', '--plan', '--json']],
  ['plan', () => ['setup', '--plan', '--handover', '--json']],
  [
    'remove-orphans',
    () => ['remove-orphans', '--no-dockerd', '-d', file('docker'), '-f', file('compose.yaml'), '--dry-run', '--json'],
  ],
  ['replay-imr', () => ['replay-imr', '--json']],
  ['timeline', () => ['timeline', '--file', file('boot.jsonl'), '--json']],
  ['verify', () => ['verify', file('v0.bin'), '--json']],
  ['verify', () => ['verify', file('canned/attestation.bin'), '--json', '--any-app']],
];

describe('what a command prints', () => {
  it.each(COMMANDS.map(([name, args], i) => ({ i, name, args })))(
    'is one document of its schema: $name ($i)',
    async ({ name, args }) => {
      const { stdout, stderr } = await run(BUN, ['bin/dstack-util.ts', ...args()]);
      let document: unknown;
      expect(() => {
        document = JSON.parse(stdout);
      }, `${stdout}\n${stderr}`).not.toThrow();
      const validate = validators.get(name);
      validate?.(document);
      expect(validate?.errors ?? [], stdout).toEqual([]);
      if (name in OWN) expect((document as { version: unknown }).version).toBe(1);
    },
    SLOW,
  );

  it('is checked strictly: a field that the schema does not name is refused', () => {
    const validate = validators.get('doctor');
    expect(validate?.({ version: 1, healthy: true, findings: [] })).toBe(true);
    expect(validate?.({ version: 1, healthy: true, findings: [], frob: 1 })).toBe(false);
    expect(validate?.({ healthy: true, findings: [] })).toBe(false);
  });
});
