import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { copyHostFiles, type HostFileName } from '../../src/boot/setup/host-files.ts';

let dir: string;
let source: string;
let target: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'share-'));
  source = join(dir, 'source');
  target = join(dir, 'work', '.host-shared');
  await mkdir(source);
  await writeFile(join(source, '.sys-config.json'), '{}');
  await writeFile(join(source, 'app-compose.json'), '{ "name": "demo" }\n');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const mode = async (name: string) => ((await stat(join(target, name))).mode & 0o777).toString(8);

describe('copyHostFiles', () => {
  it('copies byte for byte, with the mode that fits, and ignores everything else', async () => {
    await writeFile(join(source, '.encrypted-env'), 'secret');
    await writeFile(join(source, '.user-config'), Buffer.from([0, 255, 10]));
    await writeFile(join(source, '.appkeys.json'), 'the host has no business with this');
    const files = await copyHostFiles(source, target);
    expect((await readdir(target)).sort()).toEqual([
      '.encrypted-env',
      '.sys-config.json',
      '.user-config',
      'app-compose.json',
    ]);
    expect(await readFile(join(target, '.user-config'))).toEqual(Buffer.from([0, 255, 10]));
    expect(Buffer.from(files.appCompose ?? '').toString()).toBe('{ "name": "demo" }\n');
    expect(await mode('.encrypted-env')).toBe('600');
    expect(await mode('app-compose.json')).toBe('644');
    expect(files.instanceInfo).toBeUndefined();
  });

  it('hands out the system configuration before it looks at anything that can fail', async () => {
    await rm(join(source, 'app-compose.json'));
    const seen: HostFileName[] = [];
    await expect(copyHostFiles(source, target, (name) => seen.push(name))).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
      message: 'source file app-compose.json does not exist',
    });
    expect(seen).toEqual(['sysConfig']);
  });

  it.each(['app-compose.json', '.sys-config.json', '.encrypted-env', '.instance_info'])(
    'refuses %s as a symbolic link',
    async (name) => {
      await writeFile(join(dir, 'elsewhere'), '{}');
      await rm(join(source, name), { force: true });
      await symlink('../elsewhere', join(source, name));
      await expect(copyHostFiles(source, target)).rejects.toMatchObject({
        code: 'FILE_NOT_REGULAR',
        path: join(source, name),
      });
    },
  );

  it('refuses a folder in place of a file', async () => {
    await mkdir(join(source, '.user-config'));
    await expect(copyHostFiles(source, target)).rejects.toMatchObject({ code: 'FILE_NOT_REGULAR' });
  });

  it.each([
    ['.sys-config.json', 32_768],
    ['app-compose.json', 52_428_800],
    ['.instance_info', 10_240],
    ['.encrypted-env', 262_144],
  ])('takes %s of %i bytes and not one more', async (name, limit) => {
    await writeFile(join(source, name), '');
    await truncate(join(source, name), limit);
    await copyHostFiles(source, target);
    expect((await stat(join(target, name))).size).toBe(limit);
    await truncate(join(source, name), limit + 1);
    await expect(copyHostFiles(source, target)).rejects.toMatchObject({
      code: 'FILE_TOO_LARGE',
      message: expect.stringContaining(`max size is ${limit} bytes`),
    });
  });

  it('replaces an older copy completely', async () => {
    await writeFile(join(source, '.encrypted-env'), 'a long old secret');
    await writeFile(join(source, '.user-config'), 'a long old text');
    await copyHostFiles(source, target);
    await rm(join(source, '.encrypted-env'));
    await writeFile(join(source, '.user-config'), 'new');
    const files = await copyHostFiles(source, target);
    expect(files.encryptedEnv).toBeUndefined();
    expect(await readdir(target)).not.toContain('.encrypted-env');
    expect(await readFile(join(target, '.user-config'), 'utf8')).toBe('new');
  });

  it('does not write through a link that lies in the target', async () => {
    await mkdir(target, { recursive: true });
    await writeFile(join(dir, 'victim'), 'untouched');
    await symlink(join(dir, 'victim'), join(target, 'app-compose.json'));
    await copyHostFiles(source, target);
    expect(await readFile(join(dir, 'victim'), 'utf8')).toBe('untouched');
    expect(await readFile(join(target, 'app-compose.json'), 'utf8')).toContain('demo');
  });
});
