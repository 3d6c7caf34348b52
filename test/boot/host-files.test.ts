import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { copyHostFiles, type HostFileName } from '../../src/boot/setup/host-files.ts';
import { readLimited } from '../../src/sys/files.ts';

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

  it.each([
    ['a FIFO, without waiting for a writer', 'p', []],
    ['a character device', 'c', ['1', '5']],
    ['a block device', 'b', ['7', '250']],
  ])('refuses %s', async (_, type, numbers) => {
    const path = join(source, '.encrypted-env');
    const { status } = spawnSync('mknod', [path, type, ...numbers]);
    if (status !== 0 && type !== 'p') return; // only root makes devices
    expect(status).toBe(0);
    const began = performance.now();
    await expect(copyHostFiles(source, target)).rejects.toSatisfy((thrown) =>
      // no driver behind the number: the open itself fails, which is as good
      ['FILE_NOT_REGULAR', 'FILE_IO'].includes((thrown as { code: string }).code),
    );
    expect(performance.now() - began).toBeLessThan(5000);
  });

  it('refuses a socket', async () => {
    const server = createServer().listen(join(source, '.user-config'));
    await once(server, 'listening');
    await expect(copyHostFiles(source, target)).rejects.toMatchObject({ code: expect.stringMatching(/^FILE_/) });
    server.close();
  });

  it('does not read a huge sparse file', async () => {
    await writeFile(join(source, '.user-config'), '');
    await truncate(join(source, '.user-config'), 2 ** 42);
    const before = process.memoryUsage().rss;
    await expect(copyHostFiles(source, target)).rejects.toMatchObject({ code: 'FILE_TOO_LARGE' });
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
  });

  it('stops at the limit in a file that claims to be empty', async () => {
    // procfs files have size 0 and content all the same, as a lying file server has
    await expect(readLimited('/proc/self/maps', 100)).rejects.toMatchObject({ code: 'FILE_TOO_LARGE' });
    expect((await readLimited('/proc/self/maps', 2 ** 24)).length).toBeGreaterThan(100);
  });

  it('takes a shrinking file for what could be read of it, and measures just that', async () => {
    const path = join(source, 'app-compose.json');
    await writeFile(path, Buffer.alloc(40 * 2 ** 20, 'a'));
    const copying = copyHostFiles(source, target);
    await new Promise((resolve) => setTimeout(resolve, 3));
    await truncate(path, 100_000);
    const { appCompose } = await copying;
    const copy = await readFile(join(target, 'app-compose.json'));
    expect(Buffer.from(appCompose ?? '').equals(copy)).toBe(true);
    expect(copy.every((byte) => byte === 0x61)).toBe(true);
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
