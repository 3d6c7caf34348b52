/** The packed library in a folder that has nothing else, without a network; and what of it is not evidence. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packVerifyLibrary } from '../../packages/verify/pack.ts';
import { mockCollateral } from '../../simulator/mock-collateral.ts';
import { pemChain } from '../../simulator/pki.ts';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { parseAppCompose } from '../../src/config/app-compose.ts';
import { getKey } from '../../src/keys/get-key.ts';
import { getKeyV1 } from '../../src/keys/get-key-v1.ts';
import { compressedPublicKey, keccak256, signRecoverable } from '../../src/keys/secp256k1.ts';
import { systemJson } from '../../src/os-image/os-image.ts';
import { predict } from '../../src/tdx/predict-app.ts';
import { answerOf as answerOfGuest, PKI } from '../verify/guest.ts';
import { ACPI, FILES, folderOf, fromDocument, fromImage } from '../verify/system-fixture.ts';
import { IMAGE, MEASUREMENT, VM_CONFIG } from './fixtures.ts';

const LIMIT = 240_000;
const APP_ID = '01'.repeat(20);

let dir: string;
let installed: string;
let library: typeof import('../../packages/verify/index.ts');

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'verify-package-'));
  const archive = packVerifyLibrary(dir);
  writeFileSync(join(dir, 'package.json'), '{"type":"module","private":true}');
  const args = ['install', `./${archive}`, '--offline', '--no-audit', '--no-fund', '--ignore-scripts'];
  execFileSync('npm', args, { cwd: dir, encoding: 'utf8', stdio: 'pipe' });
  installed = join(dir, 'node_modules/dstack-verify');
  library = await import(pathToFileURL(join(installed, 'index.js')).href);
}, LIMIT);
afterAll(() => rmSync(dir, { recursive: true, force: true }), LIMIT);

describe('the package', () => {
  it('is one module without dependencies, with types, licence and notices', () => {
    expect(readdirSync(join(dir, 'node_modules')).filter((name) => !name.startsWith('.'))).toEqual(['dstack-verify']);
    const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
    const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
    expect(manifest).toMatchObject({ name: 'dstack-verify', version, type: 'module', license: 'Apache-2.0' });
    expect(manifest.dependencies).toBeUndefined();
    expect(library.VERSION).toBe(version);
    const files = readdirSync(installed);
    for (const name of ['LICENSE', 'NOTICE', 'README.md', 'index.d.ts']) expect(files).toContain(name);
    expect(readFileSync(join(installed, 'NOTICE'), 'utf8')).toMatch(/^@phala\/dcap-qvl \S+ \(Apache-2\.0\)$/m);
    expect(files.filter((name) => name.endsWith('.js'))).toEqual(['index.js']);
  });

  it('needs nothing of Node, and is small', () => {
    const module = readFileSync(join(installed, 'index.js'));
    expect(module.toString()).not.toMatch(/["'`]node:|\brequire\(["'`]/);
    expect(gzipSync(module, { level: 9 }).length).toBeLessThan(200_000);
  });

  it(
    'runs the program of its README, as it stands there',
    () => {
      const blocks = [...readFileSync(join(installed, 'README.md'), 'utf8').matchAll(/^```js\n(.*?)^```$/gms)];
      const [program = '', withFetch = ''] = blocks.map(([, code = '']) => code);
      expect(program.trim().split('\n')).toHaveLength(5);
      const expectations = { version: 1, app: { app_id: APP_ID }, root: { pem: pemChain(PKI.root) } };
      writeFileSync(join(dir, 'expectations.json'), JSON.stringify(expectations));
      writeFileSync(join(dir, 'collateral.json'), JSON.stringify(mockCollateral(PKI, Date.now())));
      writeFileSync(join(dir, 'answer.json'), JSON.stringify(answerOfGuest()));
      writeFileSync(join(dir, 'program.js'), program);
      writeFileSync(join(dir, 'fetch.js'), `${withFetch}console.log(typeof judge);\n`);
      const run = (name: string) => execFileSync(process.execPath, [name], { cwd: dir, encoding: 'utf8' });
      expect(run('program.js')).toMatch(/^valid \[\] \[\n/);
      expect(run('fetch.js')).toBe('function\n');
      const other = { ...expectations, app: { app_id: '00'.repeat(20) } };
      writeFileSync(join(dir, 'expectations.json'), JSON.stringify(other));
      expect(run('program.js')).toMatch(/^invalid \[\n[\s\S]*name: 'expect app-id'/);
    },
    LIMIT,
  );

  it(
    'has types that hold without those of Node',
    () => {
      const source = `import { type Report, verifyEvidence } from 'dstack-verify';
export const verdict = async (bytes: Uint8Array): Promise<Report['verdict']> =>
  (await verifyEvidence(bytes, { anyApp: true, at: new Date(0), collateral: '{}' })).verdict;
// @ts-expect-error: a number is no evidence
verifyEvidence(7);
`;
      writeFileSync(join(dir, 'use.ts'), source);
      const options = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2023', '--lib', 'es2023,dom'];
      const tsc = resolve('node_modules/.bin/tsc');
      execFileSync(tsc, [...options, '--types', '', '--skipLibCheck', 'false', 'use.ts'], { cwd: dir, stdio: 'pipe' });
    },
    LIMIT,
  );
});

describe('signature chains of keys', () => {
  const k256Key = new Uint8Array(32).fill(5);
  const rootKey = new Uint8Array(32).fill(6);
  const appKey = compressedPublicKey(k256Key);
  const claim = Buffer.concat([Buffer.from('dstack-kms-issued:'), fromHex(APP_ID), appKey]);
  const k256Signature = signRecoverable(rootKey, keccak256(claim));
  const kmsRoot = toHex(compressedPublicKey(rootKey));
  const keys = { k256Key, k256Signature };
  const outcomes = ({ verdict, checks }: ReturnType<typeof library.verifyKeyChainV0>) => [
    verdict,
    ...checks.map(({ name, outcome }) => `${name} ${outcome}`),
  ];

  it('of both interfaces lead to the app and its KMS', async () => {
    for (const algorithm of ['secp256k1', 'ed25519'] as const) {
      const v0 = await getKey(keys, 'wallet', 'signing', algorithm);
      const v1 = await getKeyV1(keys, 'wallet', algorithm);
      const common = { appId: APP_ID, kmsRoot };
      const ofV0 = { ...common, publicKey: v0.publicKey, chain: v0.signatureChain, purpose: 'signing' };
      const ofV1 = { ...common, publicKey: v1.publicKey, chain: v1.signatureChain, domain: 'wallet', algorithm };
      const good = ['valid', 'key-signature note', 'kms-root pass'];
      expect(outcomes(library.verifyKeyChainV0(ofV0))).toEqual(good);
      expect(outcomes(library.verifyKeyChainV1(ofV1))).toEqual(good);
      expect(library.verifyKeyChainV0(ofV0)).toMatchObject({ app_key: toHex(appKey), kms_root: kmsRoot });
      // any other claim leads to another key, which no KMS has signed
      for (const change of [{ purpose: 'other' }, { publicKey: v1.publicKey }, { appId: '02'.repeat(20) }])
        expect(library.verifyKeyChainV0({ ...ofV0, ...change }).verdict).toBe('invalid');
      for (const change of [{ domain: 'a' }, { algorithm: algorithm === 'ed25519' ? 'secp256k1' : 'ed25519' } as const])
        expect(library.verifyKeyChainV1({ ...ofV1, ...change }).verdict).toBe('invalid');
    }
  });

  it('without a KMS, or without a root to trust, prove nothing by themselves', async () => {
    const { publicKey, signatureChain } = await getKey({ ...keys, k256Signature: new Uint8Array() }, 'p', '', '');
    const given = { publicKey, chain: signatureChain, appId: APP_ID, purpose: '' };
    expect(outcomes(library.verifyKeyChainV0(given))).toEqual(['unchecked', 'key-signature note', 'kms-root unknown']);
    expect(library.verifyKeyChainV0({ ...given, appKey }).verdict).toBe('valid');
    expect(library.verifyKeyChainV0({ ...given, appKey: compressedPublicKey(rootKey) }).verdict).toBe('invalid');
    expect(library.verifyKeyChainV0({ ...given, chain: [new Uint8Array(64)] }).verdict).toBe('invalid');
    expect(library.verifyKeyChainV0({ ...given, chain: [] }).verdict).toBe('invalid');
    expect(() => library.verifyKeyChainV0({ ...given, appId: '00' })).toThrow('appId has 1 bytes, not 20');
  });
});

describe('predictions', () => {
  it('of an app are those of the program', () => {
    const compose = JSON.stringify({ manifest_version: 2, name: 'a', runner: 'docker-compose', key_provider: 'none' });
    const own = predict(parseAppCompose(new TextEncoder().encode(compose), 'app-compose.json'), {
      instanceId: fromHex(APP_ID),
      cmdline: { last: () => undefined },
      cmdlineKnown: true,
    });
    const predicted = library.predictApp(compose, { instanceId: APP_ID, cmdline: '' });
    expect(predicted.rtmr3).toBe(toHex(own.rtmr3 ?? new Uint8Array()));
    expect(predicted.events.map(({ event }) => event)).toEqual(own.events.map(({ event }) => event));
    expect(() => library.predictApp('{}')).toThrow();
  });

  it('of an image are those of the program, from its files and from its document', async () => {
    const hash = folderOf(FILES).osImageHash;
    const acpi = { loader: ACPI.loader, rsdp: toHex(ACPI.rsdp), tables: ACPI.tables };
    const options = { vmConfig: VM_CONFIG, acpi };
    expect(await library.predictImage(IMAGE, options)).toEqual(systemJson(fromImage(FILES), hash));
    const { document, checksums } = MEASUREMENT;
    expect(library.predictMeasurement(document, checksums, options)).toEqual(systemJson(fromDocument(FILES), hash));
    const bent = { ...IMAGE, initrd: new Uint8Array([1]) };
    await expect(library.predictImage(bent, options)).rejects.toMatchObject({ code: 'OS_IMAGE_INVALID' });
    const { bzImage: _, ...fewer } = IMAGE;
    await expect(library.predictImage(fewer, options)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });
});
