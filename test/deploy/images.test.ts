import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ComposeModel } from '../../src/deploy/compose-model.ts';
import { familiarName, isPinned, looseImages } from '../../src/deploy/image-references.ts';
import { pruneImages } from '../../src/deploy/prune.ts';
import { type ControlDocker, controlDocker } from './control-docker.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;
const model = (images: Record<string, string>, built: string[] = []): ComposeModel => ({
  project: 'dstack',
  services: Object.entries(images).map(([name, image]) => ({ name, image, built: built.includes(name), profiles: [] })),
});

describe('image references', () => {
  it.each([
    ['nginx', 'nginx:latest'],
    ['nginx:1.25', 'nginx:1.25'],
    ['docker.io/library/nginx', 'nginx:latest'],
    ['index.docker.io/acme/web:2', 'acme/web:2'],
    ['registry.example:5000/web', 'registry.example:5000/web:latest'],
    [`nginx:1.25@${DIGEST}`, `nginx@${DIGEST}`],
    [`registry.example:5000/web@${DIGEST}`, `registry.example:5000/web@${DIGEST}`],
  ])('docker lists %s as %s', (reference, familiar) => expect(familiarName(reference)).toBe(familiar));

  it('only a whole digest pins an image', () => {
    expect(isPinned(`nginx@${DIGEST}`)).toBe(true);
    for (const loose of ['nginx', 'nginx:1.25', 'nginx@sha256:abcd', `${DIGEST}`]) expect(isPinned(loose)).toBe(false);
  });

  it('names loose images with the fix, and not what is built', () => {
    expect(looseImages(model({ web: 'nginx:1.25', db: `pg@${DIGEST}`, own: 'own' }, ['own']))).toEqual([
      { service: 'web', image: 'nginx:1.25', fix: expect.stringContaining('nginx:1.25@sha256:<digest>') },
    ]);
  });
});

describe('pruning images', () => {
  let dir: string;
  let docker: ControlDocker;
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'prune-'));
    docker = await controlDocker(join(dir, 'docker.sock'));
  });
  afterEach(async () => {
    await docker.close();
    rmSync(dir, { recursive: true });
  });

  it('removes what neither compose nor a container uses', async () => {
    docker.images = [
      { Id: 'sha256:1', RepoTags: ['nginx:1.25'] },
      { Id: 'sha256:2', RepoTags: null, RepoDigests: [`pg@${DIGEST}`] },
      { Id: 'sha256:3', RepoTags: ['dstack-own:latest'] },
      { Id: 'sha256:4', RepoTags: ['old:1', 'old:2'], RepoDigests: [] },
      { Id: 'sha256:5', RepoTags: ['<none>:<none>'], RepoDigests: ['<none>@<none>'] },
      { Id: 'sha256:6', RepoTags: ['busy:1', 'busy:2'] },
    ];
    docker.refuse.add('busy:1');
    const used = model({ web: 'docker.io/library/nginx:1.25', db: `pg:15@${DIGEST}`, own: '' }, ['own']);
    expect(await pruneImages(used, docker.path)).toEqual(['old:1', 'old:2', 'sha256:5']);
    expect(docker.requests).toEqual([
      'DELETE /images/old:1 ',
      'DELETE /images/old:2 ',
      'DELETE /images/sha256:5 ',
      'DELETE /images/busy:1 ',
    ]);
  });

  it('is no failure of the start when docker does not answer', async () => {
    expect(await pruneImages(model({}), join(dir, 'nobody.sock'))).toEqual([]);
  });
});
