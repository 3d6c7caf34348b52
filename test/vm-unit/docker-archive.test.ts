import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { dockerArchive } from '../../initramfs/demo/docker-archive.ts';
import { parseLdd } from '../../initramfs/demo/image.ts';
import { type TarEntry, tar } from '../../initramfs/demo/tar.ts';

const text = (value: string) => new TextEncoder().encode(value);
const entries: TarEntry[] = [
  { path: 'b/run.sh', type: 'file', mode: 0o755, data: text('#!/bin/sh\n') },
  { path: 'b', type: 'directory', mode: 0o755 },
  { path: 'a', type: 'symlink', target: 'b/run.sh' },
  { path: 'c', type: 'file', mode: 0o644, data: new Uint8Array(1024).fill(0x61) },
];
const list = (archive: Uint8Array, ...args: string[]) =>
  execFileSync('tar', [...args], { input: archive, env: { PATH: '/usr/bin:/bin', TZ: 'UTC', LC_ALL: 'C' } }).toString();

describe('tar', () => {
  it('is what tar(1) reads', () => {
    const lines = list(tar(entries, 86_400), '-tv', '--numeric-owner').trim().split('\n');
    expect(lines.map((line) => line.replace(/ +/g, ' '))).toEqual([
      'lrwxrwxrwx 0/0 0 1970-01-02 00:00 a -> b/run.sh',
      'drwxr-xr-x 0/0 0 1970-01-02 00:00 b/',
      '-rwxr-xr-x 0/0 10 1970-01-02 00:00 b/run.sh',
      '-rw-r--r-- 0/0 1024 1970-01-02 00:00 c',
    ]);
    expect(list(tar(entries, 0), '-xO', 'b/run.sh')).toBe('#!/bin/sh\n');
  });

  it('does not depend on the order of its entries', () => {
    expect(tar([...entries].reverse(), 1)).toEqual(tar(entries, 1));
  });

  it('refuses names that ustar cannot hold', () => {
    expect(() => tar([{ path: 'x'.repeat(101), type: 'directory', mode: 0o755 }], 0)).toThrow(/path longer than 100/);
  });
});

describe('dockerArchive', () => {
  const archive = dockerArchive({ tag: 'demo:1', files: entries, config: { Cmd: ['/b/run.sh'] }, created: 86_400 });
  const member = (name: string) => list(archive, '-xO', name);

  it('has a manifest that leads to the configuration and the layer, each under its own hash', () => {
    const [manifest] = JSON.parse(member('manifest.json'));
    expect(manifest.RepoTags).toEqual(['demo:1']);
    const config = member(manifest.Config);
    const sha256 = (bytes: string | Uint8Array) => createHash('sha256').update(bytes).digest('hex');
    expect(manifest.Config).toBe(`${sha256(config)}.json`);
    const layerId = sha256(tar(entries, 86_400));
    expect(manifest.Layers).toEqual([`${layerId}/layer.tar`]);
    expect(JSON.parse(config).rootfs.diff_ids).toEqual([`sha256:${layerId}`]);
  });

  it('is the same for the same input', () => {
    const again = dockerArchive({ tag: 'demo:1', files: entries, config: { Cmd: ['/b/run.sh'] }, created: 86_400 });
    expect(again).toEqual(archive);
  });
});

it('parseLdd finds every library once and skips what is static or virtual', () => {
  const output = `/usr/bin/busybox:
\tnot a dynamic executable
/usr/bin/socat:
\tlinux-vdso.so.1 (0x00007ffd)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f)
/usr/bin/openssl:
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)
`;
  expect(parseLdd(output)).toEqual(['/lib/x86_64-linux-gnu/libc.so.6', '/lib64/ld-linux-x86-64.so.2']);
});
