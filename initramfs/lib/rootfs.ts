/** The root image: package layer, kernel modules, overlay trees and binaries as one squashfs with a verity hash tree. */
import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { exists, hashFile, projectRoot } from './cache.ts';
import { readList } from './lists.ts';
import { sourceDateEpoch } from './mmdebstrap.ts';
import type { Profile } from './packages.ts';
import { PARTS } from './platform-folder.ts';
import { runInTools } from './tools.ts';

export interface ExtraFile {
  hostPath: string;
  /** Absolute path in the image. */
  imagePath: string;
  mode: number;
}

/** A file with the digest that the cache key was made from. */
export interface HashedFile extends ExtraFile {
  sha256: string;
}

export interface RootInputs {
  profile: Profile;
  packages: string;
  modules: string;
  files: HashedFile[];
}

/** The overlay trees of a profile, in the order in which they are copied. */
export function overlayDirs(profile: Profile): string[] {
  return ['common', profile].map((name) => join(projectRoot, 'initramfs/overlay', name));
}

/** Copies an overlay tree; only links, contents and the executable bit count, not the umask of whoever checked it out. */
async function copyOverlay(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o755 });
  for (const name of (await readdir(from)).sort()) {
    const source = join(from, name);
    const target = join(to, name);
    const info = await lstat(source);
    if (info.isDirectory()) await copyOverlay(source, target);
    else if (info.isSymbolicLink()) {
      await rm(target, { force: true });
      await symlink(await readlink(source), target);
    } else {
      await copyFile(source, target);
      await chmod(target, info.mode & 0o100 ? 0o755 : 0o644);
    }
  }
}

/** Writes everything that is ours into the uppermost layer. */
async function fillStage(stage: string, inputs: RootInputs): Promise<void> {
  for (const dir of overlayDirs(inputs.profile)) if (await exists(dir)) await copyOverlay(dir, stage);
  for (const entry of await readList('masked.list')) {
    const path = join(stage, 'etc/systemd', entry);
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    await symlink('/dev/null', path);
  }
  const mountPoints = ['dstack', 'var/volatile', 'var/lib/docker', 'var/lib/containerd'];
  for (const dir of mountPoints) await mkdir(join(stage, dir), { recursive: true, mode: 0o755 });
  await mkdir(join(stage, 'etc'), { recursive: true });
  const texts: Record<string, string> = {
    'etc/hostname': 'dstack\n',
    'etc/hosts': '127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.1.1 dstack\n',
    'etc/fstab': '# The initramfs mounts the root, dstack-util the rest.\n',
    // Empty, not missing: systemd takes a transient identity and does not think that this is a first boot.
    'etc/machine-id': '',
    // Newer than /usr for systemd's ConditionNeedsUpdate=, so that no update service runs.
    'etc/.updated': '',
    'var/.updated': '',
  };
  for (const [name, text] of Object.entries(texts)) await writeFile(join(stage, name), text, { mode: 0o644 });
  const resolv = join(stage, 'etc/resolv.conf');
  if (!(await exists(resolv))) await symlink('/run/systemd/resolve/resolv.conf', resolv);
  // Beside the packages' own units: presets would take a link in /etc for something that an administrator enabled.
  const units = join(stage, 'usr/lib/systemd/system');
  await symlink('multi-user.target', join(units, 'default.target'));
  for (const file of inputs.files) {
    const inside = normalize(join('/', file.imagePath));
    const target = join(stage, inside);
    await mkdir(dirname(target), { recursive: true, mode: 0o755 });
    await copyFile(file.hostPath, target);
    await chmod(target, file.mode);
    if ((await hashFile(target)) !== file.sha256) throw new Error(`${file.hostPath} changed while the image was built`);
  }
  await symlink('dstack-util', join(stage, 'usr/bin/dstack-guest-agent'));
}

// lz4 is what emulated processors unpack fastest, and packs fastest after a change; prod images are small instead.
const compression: Record<Profile, string> = { dev: '-comp lz4', prod: '-comp zstd -Xcompression-level 9' };

// Times are all the same, numbers and order follow from sorted names, and no attribute of the host's file system counts.
const squash = [
  `mksquashfs merged ${PARTS.root} -noappend $COMPRESSION -no-xattrs -quiet -no-progress`,
  `-mkfs-time ${sourceDateEpoch} -all-time ${sourceDateEpoch}`,
].join(' ');

/** Makes the root file in `dir` as a plain squashfs; returns its size. The file gets its hash tree from `addVerity`. */
export async function makeRoot(dir: string, inputs: RootInputs): Promise<number> {
  const stage = join(dir, 'stage');
  await mkdir(stage, { recursive: true, mode: 0o755 });
  await fillStage(stage, inputs);
  const script = [
    // Layers are joined by the kernel in a mount namespace of our own: nothing is copied, nothing needs cleaning up.
    'mkdir -p work merged; chmod 755 stage',
    'mount -t overlay overlay -o lowerdir="$MODULES:$PACKAGES",upperdir=stage,workdir=work,xino=off merged',
    'chroot merged systemctl preset-all --quiet 2>preset.log || { cat preset.log >&2; exit 1; }',
    'rm -rf merged/run/* merged/tmp/*',
    ...(await readList('removed.list')).map((path) => `rm -r merged/${path}`),
    squash,
    'umount merged',
    'rm -rf stage work merged preset.log',
  ].join('\n');
  await runInTools(['sh', '-ec', script], {
    cwd: dir,
    env: {
      MODULES: inputs.modules,
      PACKAGES: inputs.packages,
      COMPRESSION: compression[inputs.profile],
      SYSTEMD_OFFLINE: '1',
    },
  });
  return (await stat(join(dir, PARTS.root))).size;
}

/** Appends the hash tree at `size` and returns the root hash. Salt and UUID are zero: the image is public. */
export async function addVerity(dir: string, size: number): Promise<string> {
  if (size % 4096 !== 0) throw new Error(`squashfs of ${size} bytes does not end on a block`);
  const zero = '0'.repeat(64);
  const argv = [
    'veritysetup',
    'format',
    PARTS.root,
    PARTS.root,
    `--hash-offset=${size}`,
    `--data-blocks=${size / 4096}`,
  ];
  const result = await runInTools([...argv, `--salt=${zero}`, '--uuid=00000000-0000-0000-0000-000000000000'], {
    cwd: dir,
  });
  const hash = /^Root hash:\s+([0-9a-f]{64})$/m.exec(result.stdout)?.[1];
  if (!hash) throw new Error(`veritysetup printed no root hash:\n  ${result.stdout.trim()}`);
  return hash;
}

/** The units and presets of a profile as text, for checks. */
export async function presetLines(profile: Profile): Promise<string[]> {
  const lines: { name: string; text: string }[] = [];
  for (const dir of overlayDirs(profile)) {
    const presets = join(dir, 'usr/lib/systemd/system-preset');
    if (!(await exists(presets))) continue;
    for (const name of await readdir(presets)) lines.push({ name, text: await readFile(join(presets, name), 'utf8') });
  }
  lines.sort((a, b) => (a.name < b.name ? -1 : 1)); // systemd reads them in this order, the first match counts
  return lines.flatMap(({ text }) => text.split('\n')).filter((line) => /^(enable|disable) /.test(line));
}
