/** GPUs that must be attested, with an nvattest and an nvidia-smi that print what the real ones print. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseEvidence, proxyBase } from '../../src/boot/setup/gpu-evidence.ts';
import { checkGpuGate } from '../../src/boot/setup/gpu-gate.ts';
import { parseAppCompose } from '../../src/config/app-compose.ts';
import { DstackError } from '../../src/errors.ts';
import type { RunOptions } from '../../src/sys/exec.ts';
import type { Program } from '../../src/sys/programs.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'gpu-'));
  await put('usr/bin/nvattest', '');
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
}

async function attach(count: number, vendor = '0x10de'): Promise<void> {
  for (let slot = 1; slot <= count; slot++) {
    await put(`sys/bus/pci/devices/0000:0${slot}:00.0/class`, '0x030200\n');
    await put(`sys/bus/pci/devices/0000:0${slot}:00.0/vendor`, `${vendor}\n`);
  }
}

/** The claims that are judged, and some of the others, with the names and the form of NVIDIA's claims schema 3.0. */
const claim = (nonce: string) => ({
  dbgstat: 'disabled',
  eat_nonce: nonce,
  hwmodel: 'GH100 A01 GSP BROM',
  measres: 'success',
  oemid: '5703',
  secboot: true,
  ueid: '478176379286082186618948445787393647364802107249',
  'x-nvidia-device-type': 'gpu',
  'x-nvidia-gpu-arch-check': true,
  'x-nvidia-gpu-attestation-report-nonce-match': true,
  'x-nvidia-gpu-driver-version': '575.32',
  'x-nvidia-gpu-vbios-version': '96.00.AF.00.01',
});

interface Machine {
  readonly count?: number;
  readonly claims?: (nonce: string) => unknown;
  readonly resultCode?: number;
  readonly exit?: number;
  /** changes what nvattest prints */
  readonly print?: (text: string) => string;
  /** answers of nvidia-smi by its arguments */
  readonly driver?: Record<string, string>;
  readonly opa?: string;
  readonly proxyUrl?: string;
}

function machine(policy: Record<string, unknown> | undefined, options: Machine = {}) {
  const { count = 1, resultCode = 0, exit = 0, print = (text) => text, opa } = options;
  const seen = {
    ran: [] as string[],
    limits: {} as Record<string, number | undefined>,
    told: [] as string[],
    measured: [] as [string, string][],
    stdin: '',
    printed: '',
  };
  const nvattest = (args: readonly string[]): string => {
    const nonce = args[args.indexOf('--nonce') + 1] ?? '';
    const claims = options.claims?.(nonce) ?? Array.from({ length: count }, () => claim(nonce));
    // as nvattest builds it: keys in order of the alphabet, and an empty object of claims after most failures
    const failed = resultCode !== 0;
    const document = {
      claims: failed ? {} : claims,
      detached_eat: failed ? {} : [['JWT', 'e30.e30.']],
      result_code: resultCode,
      result_message: failed ? 'Failed' : 'Ok',
    };
    return print(`${JSON.stringify(document, undefined, 4)}\n`);
  };
  const driver: Record<string, string> = {
    '--query-gpu=index --format=csv,noheader': `${Array.from({ length: count }, (_, index) => index).join('\n')}\n`,
    'conf-compute -f': 'CC status: ON\n',
    'conf-compute -d': 'DevTools Mode: OFF\n',
    'conf-compute -srs 1': '',
    ...options.driver,
  };
  const run = async (program: Program, args: readonly string[], { stdin, ok = [0], timeoutMs }: RunOptions = {}) => {
    seen.ran.push([program, ...args].join(' ').replace(/[0-9a-f]{64}/, 'NONCE'));
    seen.limits[program] = timeoutMs;
    const done = (stdout: string, status = 0) => {
      if (!ok.includes(status)) throw new DstackError('COMMAND_FAILED', `${program} failed with exit status ${status}`);
      return { exit: status, stdout, stderr: '' };
    };
    if (program === 'chronyc') throw new DstackError('COMMAND_FAILED', 'chronyd does not run');
    if (program === 'nvattest') {
      seen.printed = nvattest(args);
      return done(seen.printed, exit);
    }
    if (program === 'opa' && opa !== undefined) {
      seen.stdin = String(stdin);
      return done(opa);
    }
    const answer = driver[args.join(' ')];
    if (program !== 'nvidiaSmi' || answer === undefined) throw new DstackError('COMMAND_NOT_FOUND', `no ${program}`);
    return done(answer, answer === 'FAILS' ? 1 : 0);
  };
  const requirements = policy === undefined ? {} : { requirements: { gpu_policy: policy } };
  const document = { manifest_version: '3', name: 'a', runner: 'bash', ...requirements };
  const compose = parseAppCompose(new TextEncoder().encode(JSON.stringify(document)));
  const pass = () =>
    checkGpuGate(compose, {
      machine: {
        root,
        run,
        mountAt: async () => undefined,
        bindMount: () => Promise.reject(new Error('nothing is mounted here')),
      },
      dir: root,
      proxyUrl: options.proxyUrl,
      progress: (text) => void seen.told.push(text),
      measureText: async (name, value) => void seen.measured.push([name, value]),
    });
  return { seen, pass };
}

const saved = () => join(root, 'run/nvidia-gpu-attestation/attestation.out');
const changed = (change: Record<string, unknown>) => (nonce: string) => [{ ...claim(nonce), ...change }];

describe('GPUs that must be attested', () => {
  it('pass with evidence over a fresh nonce; the event binds what nvattest printed', async () => {
    await attach(2);
    const { seen, pass } = machine(undefined, { count: 2 });
    await pass();
    expect(seen.told).toEqual(['attesting GPU']);
    expect(seen.ran).toEqual([
      'chronyc makestep', // best effort: it failed here
      'nvattest attest --device gpu --verifier local --nonce NONCE --format json',
      'nvidiaSmi --query-gpu=index --format=csv,noheader',
      'nvidiaSmi conf-compute -f',
      'nvidiaSmi conf-compute -d',
      'nvidiaSmi conf-compute -srs 1',
    ]);
    expect(seen.limits['nvattest']).toBe(300_000);
    const sha256 = createHash('sha256').update(seen.printed).digest('hex');
    const event = `{"version":2,"provider":"nvidia","devices":2,"cc_mode":"on","devtools":false,"evidence_sha256":"${sha256}"}`;
    expect(seen.measured).toEqual([['gpu-attestation', event]]);
    expect(await readFile(saved(), 'utf8')).toBe(seen.printed);
    expect((await stat(saved())).mode & 0o777).toBe(0o600);
    const again = machine(undefined, { count: 2 });
    await again.pass();
    expect(again.seen.printed).not.toBe(seen.printed);
  });

  it.each<[string, Machine]>([
    ['nvattest says no', { resultCode: 13, exit: 13 }],
    ['nvattest says no and exits with 0', { resultCode: 13 }],
    ['nvattest exits with another status', { exit: 1 }],
    ['nvattest prints nothing', { print: () => '' }],
    ['nvattest prints text', { print: () => 'Devices: 1\n' }],
    ['the document breaks off', { print: (text) => text.slice(0, -3) }],
    ['something follows the document', { print: (text) => `${text}{}` }],
    [
      'the result is given twice',
      { print: (text) => text.replace('"result_code"', '"result_code": 0, "result_code"') },
    ],
    ['the result is a text', { print: (text) => text.replace('"result_code": 0', '"result_code": "0"') }],
    ['the result is missing', { print: (text) => text.replace('"result_code"', '"code"') }],
    ['the output is no UTF-8', { print: (text) => text.replace('GH100', '\ufffd') }],
    ['the claims are an object', { claims: () => ({}) }],
    ['a GPU has no claims', { claims: () => [] }],
    ['there are claims of one GPU too many', { claims: (nonce) => [claim(nonce), claim(nonce)] }],
    ['the claims are of a switch', { claims: changed({ 'x-nvidia-device-type': 'nvswitch' }) }],
    ['the nonce is another one', { claims: changed({ eat_nonce: '0'.repeat(64) }) }],
    ['the report has another nonce', { claims: changed({ 'x-nvidia-gpu-attestation-report-nonce-match': false }) }],
    ['the nonce match is a text', { claims: changed({ 'x-nvidia-gpu-attestation-report-nonce-match': 'true' }) }],
    ['the measurements differ', { claims: changed({ measres: 'fail' }) }],
    ['the measurements are missing', { claims: changed({ measres: undefined }) }],
    ['secure boot is unknown', { claims: changed({ secboot: null }) }],
    ['debugging is unknown', { claims: changed({ dbgstat: null }) }],
    ['the driver has another number of GPUs', { driver: { '--query-gpu=index --format=csv,noheader': '0\n1\n' } }],
    ['the driver has none', { driver: { '--query-gpu=index --format=csv,noheader': 'No devices were found\n' } }],
    ['the mode is told in other words', { driver: { 'conf-compute -f': 'CC State : ON\n' } }],
    ['DevTools are told in other words', { driver: { 'conf-compute -d': '' } }],
  ])('are refused when %s', async (_, options) => {
    await attach(1);
    const { seen, pass } = machine({ allow_devtools: true, allow_debug: true, allow_insecure_boot: true }, options);
    await expect(pass()).rejects.toMatchObject({ code: 'GPU_NOT_ATTESTED' });
    expect(seen.measured).toEqual([]);
    expect(seen.ran).not.toContain('nvidiaSmi conf-compute -srs 1');
    expect(await readFile(saved(), 'utf8')).toBe(seen.printed); // who looks for the reason finds it
  });

  it.each<[string, string, Machine]>([
    ['has not started in secure boot', 'allow_insecure_boot', { claims: changed({ secboot: false }) }],
    ['can be debugged', 'allow_debug', { claims: changed({ dbgstat: 'enabled' }) }],
    ['is in DevTools mode', 'allow_devtools', { driver: { 'conf-compute -d': 'DevTools Mode: ON\n' } }],
  ])('are refused when one %s, unless the policy has %s', async (_, name, options) => {
    await attach(1);
    for (const policy of [undefined, {}, { [name]: false }]) {
      const { seen, pass } = machine(policy, options);
      const expected = { code: 'GPU_REFUSED', field: `requirements.gpu_policy.${name}` };
      await expect(pass()).rejects.toMatchObject(expected);
      expect(seen.measured).toEqual([]);
    }
    const { seen, pass } = machine({ [name]: true }, options);
    await pass();
    expect(JSON.parse(seen.measured[0]?.[1] ?? '')).toMatchObject({ devtools: name === 'allow_devtools' });
  });

  it('are refused when confidential computing is off, whatever the policy', async () => {
    await attach(1);
    const all = { allow_devtools: true, allow_debug: true, allow_insecure_boot: true };
    const { pass } = machine(all, { driver: { 'conf-compute -f': 'CC status: OFF\n' } });
    await expect(pass()).rejects.toMatchObject({ code: 'GPU_REFUSED' });
  });

  it('are not measured as attested when they cannot be made ready', async () => {
    await attach(1);
    const { seen, pass } = machine(undefined, { driver: { 'conf-compute -srs 1': 'FAILS' } });
    await expect(pass()).rejects.toMatchObject({ code: 'COMMAND_FAILED' });
    expect(seen.measured).toEqual([]);
  });

  it('are judged by the policy in rego, which sees the claims as nvattest printed them', async () => {
    await attach(1);
    const answer = (value: boolean) => JSON.stringify({ result: [{ expressions: [{ value }] }] });
    const good = machine({ rego: 'package policy' }, { opa: answer(true) });
    await good.pass();
    expect(JSON.parse(good.seen.stdin)).toEqual(JSON.parse(good.seen.printed).claims);
    const bad = machine({ rego: 'package policy' }, { opa: answer(false) });
    await expect(bad.pass()).rejects.toMatchObject({ code: 'GPU_REFUSED' });
    expect(bad.seen.ran).not.toContain('nvidiaSmi conf-compute -srs 1');
    await expect(machine({ rego: 'package policy' }).pass()).rejects.toMatchObject({ code: 'GPU_UNSUPPORTED' });
  });

  it('are attested through a proxy, if the image has the policy for it', async () => {
    await attach(1);
    const proxyUrl = ' http://10.0.2.2:8443/ ';
    await expect(machine(undefined, { proxyUrl }).pass()).rejects.toMatchObject({ code: 'GPU_UNSUPPORTED' });
    const policy = '/usr/share/nvattest/policies/allow_trust_outpost_ocsp.rego';
    await put(policy.slice(1), '');
    const { seen, pass } = machine(undefined, { proxyUrl });
    await pass();
    expect(seen.ran[1]).toBe(
      'nvattest attest --device gpu --verifier local --nonce NONCE --format json ' +
        `--ocsp-url http://10.0.2.2:8443/ocsp --rim-url http://10.0.2.2:8443 --relying-party-policy ${policy}`,
    );
  });

  it('are not attested beside a GPU that nothing attests', async () => {
    await attach(1);
    await put('sys/bus/pci/devices/0000:09:00.0/class', '0x030000\n');
    await put('sys/bus/pci/devices/0000:09:00.0/vendor', '0x1002\n');
    const { seen, pass } = machine(undefined);
    await expect(pass()).rejects.toMatchObject({ code: 'GPU_UNSUPPORTED' });
    expect(seen.ran).toEqual([]);
  });
});

describe('nvidia_attestation_proxy_url', () => {
  it.each([
    [undefined, undefined],
    ['', undefined],
    ['  \n', undefined],
    ['https://rim.example', 'https://rim.example'],
    ['https://rim.example/', 'https://rim.example'],
    ['HTTP://[fd00::1]:80', 'http://[fd00::1]'],
  ])('%j is %j', (text, base) => expect(proxyBase(text)).toBe(base));

  it.each([
    'rim.example',
    '/rim',
    'ftp://rim.example',
    'https://user@rim.example',
    'https://:@rim.example',
    'https://rim.example/path',
    'https://rim.example//',
    'https://rim.example?',
    'https://rim.example/#',
    'https://rim.example?a=b',
    'https://a b',
  ])('%j is refused', (text) =>
    expect(() => proxyBase(text)).toThrow(
      expect.objectContaining({ code: 'DOCUMENT_INVALID', field: 'nvidia_attestation_proxy_url' }),
    ),
  );
});

it('takes any other document for no evidence, and fails in no other way', () => {
  const nonce = 'ab'.repeat(32);
  const good = { result_code: 0, claims: [claim(nonce)] };
  expect(parseEvidence(JSON.stringify(good), nonce, 1).gpus).toEqual([
    { measured: true, secureBoot: true, debug: false },
  ]);
  const refuses = (text: string) => {
    try {
      parseEvidence(text, nonce, 1);
    } catch (thrown) {
      return thrown instanceof DstackError && thrown.code === 'GPU_NOT_ATTESTED';
    }
    return false;
  };
  const names = [
    'x-nvidia-device-type',
    'eat_nonce',
    'x-nvidia-gpu-attestation-report-nonce-match',
    'secboot',
    'dbgstat',
  ];
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), fc.constantFrom(...names), fc.jsonValue(), (text, name, value) => {
      expect(refuses(text)).toBe(true);
      const bent = { ...claim(nonce), [name]: value };
      fc.pre(typeof value !== 'boolean' && value !== 'enabled');
      expect(refuses(JSON.stringify({ ...good, claims: [bent] }))).toBe(true);
    }),
  );
});
