import { describe, expect, it } from 'vitest';
import { kernelCmdline } from '../../initramfs/lib/cmdline.ts';
import { metadataText, PARTS } from '../../initramfs/lib/platform-folder.ts';
import { readImageMetadata } from '../../src/os-image/os-image.ts';

const HASH = 'ab'.repeat(32);

describe('metadata.json', () => {
  it.each(['prod', 'dev'] as const)('of a %s image is what a verifier reads', (profile) => {
    const cmdline = kernelCmdline(profile, HASH, 4096);
    const text = metadataText({ cmdline, rootHash: HASH, isDev: profile === 'dev' });
    const read = readImageMetadata(Buffer.from(text));
    expect(read).toMatchObject({
      ...{ bios: 'ovmf.fd', kernel: 'bzImage', initrd: 'initrd', cmdline },
      sharedRo: true,
    });
    expect(Buffer.from(read.rootfsHash).toString('hex')).toBe(HASH);
    expect(read.isDev).toBe(profile === 'dev');
    expect(read.ovmfVariant).toBe('pre202505');
  });

  it('names a root and a version that the VMM takes', () => {
    expect(PARTS.root).toMatch(/\.verity$/);
    const { version } = JSON.parse(
      metadataText({ cmdline: `dstack.rootfs_hash=${HASH}`, rootHash: HASH, isDev: false }),
    );
    expect(version >= '0.5.2').toBe(true);
  });

  // the platform takes the first hash of a command line, the initramfs the last one
  it.each([
    ['no root hash', 'console=ttyS0'],
    ['two root hashes', `dstack.rootfs_hash=${HASH} dstack.rootfs_hash=${HASH}`],
    ['another root hash', `dstack.rootfs_hash=${'cd'.repeat(32)}`],
    ['a root hash in capitals', `dstack.rootfs_hash=${HASH.toUpperCase()}`],
    ['a root hash with something behind it', `dstack.rootfs_hash=${HASH}0`],
  ])('is not written for a command line with %s', (_, cmdline) => {
    expect(() => metadataText({ cmdline, rootHash: HASH, isDev: false })).toThrow(/the command line has/);
  });

  it('is not written for a root hash that is not one', () => {
    expect(() => metadataText({ cmdline: 'dstack.rootfs_hash=ab', rootHash: 'ab', isDev: false })).toThrow(
      /the root is/,
    );
  });
});
