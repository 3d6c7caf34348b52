/** From a compose file to the document, and which digests a docker of this machine suggests. */
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseAppCompose } from '../../../src/config/app-compose.ts';
import { type InitOptions, initApp } from '../../../src/deploy/app/init-app.ts';
import { appComposeText } from '../../../src/deploy/app/make-app.ts';
import { DIGEST, short } from './check.ts';

const bin = vi.hoisted(() => `/tmp/dstack-app-bin-${process.pid}`);
vi.mock('../../../src/sys/programs.ts', async (original) => {
  const real = await original<typeof import('../../../src/sys/programs.ts')>();
  // nothing else: a docker of this machine must not answer
  return { ...real, SAFE_PATH: bin };
});

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'app-init-'));
  mkdirSync(join(dir, 'shop'));
  mkdirSync(bin, { recursive: true });
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
  rmSync(bin, { recursive: true, force: true });
});

const DEFAULTS: InitOptions = {
  runner: 'docker-compose',
  keyProvider: 'kms',
  gateway: false,
  publicLogs: false,
  publicSysinfo: false,
  noInstanceId: false,
  secureTime: false,
};

function init(text: string, options: Partial<InitOptions> = {}) {
  const path = join(dir, 'shop/docker-compose.yaml');
  writeFileSync(path, text);
  return initApp(path, { ...DEFAULTS, ...options });
}

/** A docker that has these images, by the reference that it is asked for, and writes down what it was asked. */
function dockerWith(images: Record<string, string[]>): void {
  const cases = Object.entries(images).map(([image, digests]) => `'${image}') echo '${JSON.stringify(digests)}';;`);
  const script = `#!/bin/sh\necho "$*" >> ${dir}/asked\nfor last; do :; done\ncase "$last" in ${cases.join(' ')} *) exit 1;; esac\n`;
  writeFileSync(join(bin, 'docker'), script);
  chmodSync(join(bin, 'docker'), 0o755);
}

describe('the document', () => {
  it('is written as the platform’s tool writes it, byte for byte', () => {
    const text = appComposeText({
      ...DEFAULTS,
      name: 'shöp',
      composeText: 'services: {}\n',
      allowedEnvs: ['A', 'B'],
      preLaunchScript: 'echo "x"\n',
      swapSize: 1024,
    });
    // the order and the form of vmm-cli.py compose: json.dumps(..., indent=4, ensure_ascii=False)
    expect(text).toBe(`{
    "manifest_version": 2,
    "name": "shöp",
    "runner": "docker-compose",
    "docker_compose_file": "services: {}\\n",
    "kms_enabled": true,
    "gateway_enabled": false,
    "local_key_provider_enabled": false,
    "key_provider_id": "",
    "public_logs": false,
    "public_sysinfo": false,
    "allowed_envs": [
        "A",
        "B"
    ],
    "no_instance_id": false,
    "secure_time": false,
    "key_provider": "kms",
    "pre_launch_script": "echo \\"x\\"\\n",
    "swap_size": 1024
}`);
  });

  it('has the compose file byte for byte, its variables, and the name of its folder', async () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: compose's own syntax
    const compose = '# a comment\nservices:\n  web: {image: "x:${TAG:-1}", environment: [TOKEN, "P=$PCCS_URL"]}\r\n';
    const { app, text, images } = await init(compose, { allowEnvs: ['EXTRA', 'TOKEN'], registryLogin: true });
    expect(app.dockerComposeFile).toBe(compose);
    expect(app.name).toBe('shop');
    expect(app.allowedEnvs).toEqual([
      'TAG',
      'TOKEN',
      'DSTACK_DOCKER_USERNAME',
      'DSTACK_DOCKER_PASSWORD',
      'DSTACK_DOCKER_REGISTRY',
      'EXTRA',
    ]);
    expect(Buffer.from(app.composeHash).toString('hex')).toBe(createHash('sha256').update(text).digest('hex'));
    expect(images).toEqual([
      { where: 'services.web.image', service: 'web', image: 'x:1', pinned: false, variables: ['TAG'] },
    ]);
  });

  it.each([
    ['kms', { kms_enabled: true, local_key_provider_enabled: false }],
    ['local', { kms_enabled: false, local_key_provider_enabled: true }],
    ['none', { kms_enabled: false, local_key_provider_enabled: false }],
  ] as const)('says key provider %s in the old and the new way', async (keyProvider, expected) => {
    const { text, app } = await init('name: named\nservices: {web: {image: x}}', { keyProvider });
    expect(JSON.parse(text)).toMatchObject({ key_provider: keyProvider, ...expected });
    expect([app.keyProvider, app.name]).toEqual([keyProvider, 'named']);
  });

  it('of a runner that old guests do not know is a document that they refuse', async () => {
    const { text, findings } = await init('services: {web: {image: x}}', { runner: 'nerdctl-compose' });
    expect(JSON.parse(text)).toMatchObject({ manifest_version: '3', runner: 'nerdctl-compose' });
    expect(short(findings)).toEqual(['unpinned image-tag services.web.image']);
  });

  it('is not made of what is no compose file', async () => {
    await expect(init('services: x')).rejects.toMatchObject({ code: 'COMPOSE_INVALID' });
    await expect(initApp(join(dir, 'nope.yaml'), DEFAULTS)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });
});

describe('digests', () => {
  const compose = `services:
  web:
    image: nginx:1.27 # the web server
  db: {image: 'registry.example:5000/team/db'}
  far: {image: far}
  same: {image: "nginx@${DIGEST}"}
  any: {image: $ANY}
`;
  const images = {
    'nginx:1.27': [`other@sha256:${'b'.repeat(64)}`, `nginx@${DIGEST}`],
    'registry.example:5000/team/db': [`registry.example:5000/team/db@sha256:${'c'.repeat(64)}`],
  };

  it('are suggested when docker has the image, and nothing is written', async () => {
    dockerWith(images);
    const made = await init(compose);
    expect(made.app.dockerComposeFile).toBe(compose);
    expect(made.findings.flatMap(({ rule, fix }) => (rule === 'image-tag' ? [fix] : []))).toEqual([
      `write nginx:1.27@${DIGEST}`,
      `write registry.example:5000/team/db@sha256:${'c'.repeat(64)}`,
      'write far@sha256:<digest>; docker buildx imagetools inspect far prints the digest',
    ]);
    // only looked at, and no reference can be taken for an option
    const asked = readFileSync(join(dir, 'asked'), 'utf8').trim().split('\n');
    for (const line of asked) expect(line).toMatch(/^image inspect --format \{\{json \.RepoDigests\}\} -- \S+$/);
  });

  it('are written into the text with --pin, which changes nothing else', async () => {
    dockerWith(images);
    const made = await init(compose, { pin: true });
    expect(made.pinned).toEqual(['web', 'db']);
    expect(made.app.dockerComposeFile).toBe(
      compose
        .replace('nginx:1.27 ', `nginx:1.27@${DIGEST} `)
        .replace(`'registry.example:5000/team/db'`, `registry.example:5000/team/db@sha256:${'c'.repeat(64)}`),
    );
    expect(short(made.findings)).toEqual([
      'unpinned image-tag services.far.image',
      'unpinned image-variable services.any.image',
    ]);
  });

  it('are not known without a docker, or from one that answers nonsense', async () => {
    expect((await init(compose, { pin: true })).pinned).toEqual([]);
    dockerWith({ 'nginx:1.27': ['nginx@sha256:short'] });
    expect((await init(compose, { pin: true })).pinned).toEqual([]);
    expect(parseAppCompose(new TextEncoder().encode((await init(compose)).text)).dockerComposeFile).toBe(compose);
  });
});
