/** The rules of `app check` about an app-compose.json: the boot's own checks, its environment, and what image it meets. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkFile } from '../../../src/deploy/app/check-file.ts';
import { app, document, PINNED, short } from './check.ts';

const WEB = `services: {web: {image: "${PINNED}"}}`;
const env = (compose: string, more: Record<string, unknown>) =>
  app({ docker_compose_file: `services: {web: {image: "${PINNED}", command: ${JSON.stringify(compose)}}}`, ...more });

describe('a document that the boot refuses', () => {
  it.each([
    [{ manifest_version: 4 }, 'DOCUMENT_INVALID manifest_version'],
    [{ manifest_version: '4' }, 'MANIFEST_UNSUPPORTED manifest_version'],
    [{ manifest_version: 2, runner: 'nerdctl-compose' }, 'MANIFEST_UNSUPPORTED manifest_version'],
    [{ public_logs: 'yes' }, 'DOCUMENT_INVALID public_logs'],
    [{ runner: 'podman' }, 'RUNNER_UNSUPPORTED runner'],
    [{ storage_fs: 'btrfs' }, 'STORAGE_OPTION_INVALID storage_fs'],
    [{ key_provider: 'tpm' }, 'KEY_PROVIDER_UNSUPPORTED key_provider'],
    [{ docker_compose_file: null }, 'COMPOSE_INVALID docker_compose_file'],
    [{ docker_compose_file: 'services: x' }, 'COMPOSE_INVALID docker_compose_file'],
    [{ runner: 'bash', docker_compose_file: null }, 'DOCUMENT_INVALID bash_script'],
    [
      { manifest_version: '3', requirements: { platforms: ['dstack-gcp-tdx'] } },
      'REQUIREMENT_UNMET requirements.platforms',
    ],
  ])('%j', async (fields, expected) => {
    expect(short(await app({ docker_compose_file: WEB, ...fields }))).toEqual([`refused ${expected}`]);
  });

  it('for a service that nerdctl would have to build', async () => {
    const compose = 'services: {web: {build: "https://example.org/x.git#1111111111111111111111111111111111111111"}}';
    const fields = { manifest_version: '3', runner: 'nerdctl-compose', docker_compose_file: compose };
    expect(short(await app(fields))).toEqual(['refused COMPOSE_INVALID services.web.build']);
  });

  it('is fine without a word when nothing is wrong, and names fields that no guest reads', async () => {
    expect(await app({ docker_compose_file: WEB })).toEqual([]);
    expect(short(await app({ docker_compose_file: WEB, allowed_env: ['X'] }))).toEqual([
      'warning unknown-field allowed_env',
    ]);
  });
});

describe('the environment', () => {
  /* biome-ignore-start lint/suspicious/noTemplateCurlyInString: compose's own syntax */
  it.each([
    ['$X', {}, ['warning env-not-allowed services.web.command']],
    ['${X:-d}', {}, ['note env-default services.web.command']],
    ['${X:?}', {}, ['refused env-required services.web.command']],
    ['$X', { allowed_envs: ['X'] }, []],
    ['$X', { pre_launch_script: 'export X=1' }, []],
    ['$PCCS_URL $HOME', {}, []],
    ['', { allowed_envs: ['X'] }, ['note env-unused allowed_envs[0]']],
    ['', { allowed_envs: ['DSTACK_DOCKER_PASSWORD'] }, []],
    ['', { allowed_envs: ['9X'] }, ['warning env-name allowed_envs[0]']],
    ['$DOCKER_HOST', { allowed_envs: ['DOCKER_HOST'] }, ['warning env-steers allowed_envs[0]']],
    ['$DOCKER_USERNAME', { allowed_envs: ['DOCKER_USERNAME'] }, []],
    ['$X', { allowed_envs: ['X'], key_provider: 'local' }, ['warning env-without-kms allowed_envs']],
  ])('%s with %j', async (command, fields, expected) => {
    expect(short(await env(command, fields))).toEqual(expected);
  });
  /* biome-ignore-end lint/suspicious/noTemplateCurlyInString: compose's own syntax */
});

describe('a file', () => {
  let dir = '';
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'app-check-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));
  const file = (name: string, content: string | Uint8Array) => {
    writeFileSync(join(dir, name), content);
    return join(dir, name);
  };
  const metadata = JSON.stringify({
    bios: 'b',
    kernel: 'k',
    initrd: 'i',
    cmdline: `dstack.rootfs_hash=${'a'.repeat(64)}`,
    rootfs_hash: 'a'.repeat(64),
    version: '0.5.1',
  });
  const bill = (version: string) => JSON.stringify({ packages: [{ name: 'docker-compose', versionInfo: version }] });

  it('is taken for what it is, whatever its name', async () => {
    const kind = async (name: string, content: string | Uint8Array) =>
      (await checkFile(file(name, content), { suggest: false })).kind;
    expect(await kind('docker-compose.yaml', WEB)).toBe('docker-compose');
    expect(await kind('compose', WEB)).toBe('docker-compose');
    expect(await kind('app', document({ docker_compose_file: WEB }))).toBe('app-compose');
    expect(await kind('app-compose.json', '{}')).toBe('app-compose');
  });

  it('is judged against the image: its version and its docker compose', async () => {
    file('metadata.json', metadata);
    const needs = document({
      manifest_version: '3',
      docker_compose_file: `services: {web: {image: "${PINNED}", provider: {type: x}}}`,
      requirements: { os_version: '>=0.5.2' },
    });
    const path = file('a.json', needs);
    const judged = async () => short((await checkFile(path, { image: dir, suggest: false })).findings);
    expect(await judged()).toEqual([
      'refused REQUIREMENT_UNMET requirements.os_version',
      'refused compose-key services.web.provider',
      'note compose-version --image',
    ]);
    file('sbom.spdx.json', bill('2.36.1-1'));
    expect(await judged()).toEqual(['refused REQUIREMENT_UNMET requirements.os_version']);
    file('metadata.json', metadata.replace('0.5.1', '0.5.2'));
    file('sbom.spdx.json', bill('1:2.26.1-4'));
    expect(await judged()).toEqual(['refused compose-key services.web.provider']);
  });

  it('that is larger than a guest reads is refused', async () => {
    const path = file('a.json', '');
    truncateSync(path, 50 * 1024 * 1024 + 1);
    expect(short((await checkFile(path)).findings)).toEqual([`refused FILE_TOO_LARGE ${path}`]);
  });

  it('that is not there, or no image, is an error and not a finding', async () => {
    await expect(checkFile(join(dir, 'nope.json'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
    await expect(checkFile(file('a.json', '{}'), { image: join(dir, 'nope') })).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
    });
  });
});
