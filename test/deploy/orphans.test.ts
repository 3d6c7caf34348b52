import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeOrphansOffline, removeOrphansOnline } from '../../src/deploy/orphans.ts';
import { type FakeContainer, fakeDocker } from './fake-docker.ts';

let root = '';
let composeFile = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'dstack-orphans-'));
  mkdirSync(join(root, 'dstack'));
  composeFile = join(root, 'dstack', 'docker-compose.yaml');
  writeFileSync(composeFile, 'services:\n  web: {}\n');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const labels = (project: string, service?: string) => ({
  'com.docker.compose.project': project,
  ...(service === undefined ? {} : { 'com.docker.compose.service': service }),
});
const CASES: [id: string, labels: Record<string, string>, orphan: boolean][] = [
  ['a1', labels('dstack', 'web'), false],
  ['b2', labels('dstack', 'old'), true],
  ['c3', labels('other', 'old'), false],
  ['d4', labels('dstack'), false],
  ['e5', {}, false],
  ['f6', labels('Dstack', 'old'), false], // names are compared as they are
];

describe('offline', () => {
  const folder = (id: string) => join(root, 'docker/containers', id);
  const record = (id: string, text: string) => {
    mkdirSync(folder(id), { recursive: true });
    writeFileSync(join(folder(id), 'config.v2.json'), text);
  };
  it('removes the folders of orphans and nothing else', async () => {
    for (const [id, given] of CASES) record(id, JSON.stringify({ Config: { Labels: given } }));
    record('broken', '{');
    record('strange', '[]');
    mkdirSync(folder('empty'));
    mkdirSync(join(root, 'docker/volumes/v'), { recursive: true });
    const orphans = await removeOrphansOffline(composeFile, join(root, 'docker'));
    expect(orphans).toEqual([{ id: 'b2', service: 'old' }]);
    for (const [id, , orphan] of CASES) expect([id, existsSync(folder(id))]).toEqual([id, !orphan]);
    for (const id of ['broken', 'strange', 'empty']) expect(existsSync(folder(id))).toBe(true);
    expect(existsSync(join(root, 'docker/volumes/v'))).toBe(true);
  });
  it('follows no link out of docker’s folder', async () => {
    const orphan = JSON.stringify({ Config: { Labels: labels('dstack', 'old') } });
    const outside = join(root, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'config.v2.json'), orphan);
    record('b2', orphan);
    symlinkSync(outside, folder('c3'));
    mkdirSync(folder('d4'));
    symlinkSync(join(outside, 'config.v2.json'), join(folder('d4'), 'config.v2.json'));
    expect(await removeOrphansOffline(composeFile, join(root, 'docker'))).toEqual([{ id: 'b2', service: 'old' }]);
    expect(existsSync(join(outside, 'config.v2.json'))).toBe(true);
    expect(existsSync(folder('d4'))).toBe(true);
  });
  it('only tells in a dry run', async () => {
    record('b2', JSON.stringify({ Config: { Labels: labels('dstack', 'old') } }));
    expect(await removeOrphansOffline(composeFile, join(root, 'docker'), { dryRun: true })).toHaveLength(1);
    expect(existsSync(folder('b2'))).toBe(true);
  });
  it('has nothing to do without a containers folder', async () => {
    expect(await removeOrphansOffline(composeFile, join(root, 'nowhere'))).toEqual([]);
  });
  it('leaves services of later documents alone, and every service when other files are included', async () => {
    record('b2', JSON.stringify({ Config: { Labels: labels('dstack', 'old') } }));
    for (const more of ['services: {old: {}}', 'include: [old.yaml]']) {
      writeFileSync(composeFile, `services:\n  web: {}\n---\n${more}\n`);
      expect([more, await removeOrphansOffline(composeFile, join(root, 'docker'))]).toEqual([more, []]);
    }
    expect(existsSync(folder('b2'))).toBe(true);
  });
  it('removes nothing when the compose file cannot be understood', async () => {
    record('b2', JSON.stringify({ Config: { Labels: labels('dstack', 'old') } }));
    writeFileSync(composeFile, 'services: [web]');
    await expect(removeOrphansOffline(composeFile, join(root, 'docker'))).rejects.toMatchObject({
      code: 'COMPOSE_INVALID',
    });
    await expect(removeOrphansOffline(join(root, 'none.yaml'), join(root, 'docker'))).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
    });
    expect(existsSync(folder('b2'))).toBe(true);
  });
});

describe('online', () => {
  const socketPath = () => join(root, 'docker.sock');
  it('removes orphans through docker, running ones too', async () => {
    const containers: FakeContainer[] = CASES.map(([Id, Labels]) => ({ Id, Labels, State: 'running' }));
    const docker = await fakeDocker(socketPath(), containers);
    expect(await removeOrphansOnline(composeFile, { dryRun: true, socketPath: socketPath() })).toEqual([
      { id: 'b2', service: 'old' },
    ]);
    expect(docker.containers).toHaveLength(6);
    await removeOrphansOnline(composeFile, { socketPath: socketPath() });
    expect(docker.containers.map(({ Id }) => Id)).toEqual(['a1', 'c3', 'd4', 'e5', 'f6']);
    expect(docker.requests).toContain('DELETE /containers/b2?force=1&v=1');
    await docker.close();
  });
  it('says so when docker does not answer', async () => {
    await expect(removeOrphansOnline(composeFile, { socketPath: socketPath() })).rejects.toMatchObject({
      code: 'DOCKER_UNAVAILABLE',
    });
  });
});
