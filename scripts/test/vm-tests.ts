/**
 * Which VM tests show what a file does. A room of `src` reaches a VM test through the compiled binary, which no import
 * tells; so it stands here. What is not named here touches all of them.
 */

const WHOLE_BOOT = ['ext4'];

/** The longest prefix of a path decides. */
const TOUCHES: Readonly<Record<string, readonly string[]>> = {
  'src/': ['ext4', 'no-docker', 'kms', 'disk', 'refusals', 'gateway', 'zfs'],
  'src/agent/': [...WHOLE_BOOT, 'no-docker', 'kms', 'sandbox'],
  'src/boot/': [...WHOLE_BOOT, 'refusals', 'kms', 'no-docker', 'host-inputs'],
  'src/commands/': [...WHOLE_BOOT, 'no-docker', 'refusals', 'disk'],
  'src/crypto/': [...WHOLE_BOOT, 'kms', 'gateway'],
  'src/deploy/': ['deploy', 'deploy-faults', 'no-docker', 'kms'],
  'src/fde/': ['disk', 'refusals', 'power-cut', 'zfs', ...WHOLE_BOOT],
  'src/http/': [...WHOLE_BOOT, 'kms', 'gateway'],
  'src/keys/': [...WHOLE_BOOT, 'kms'],
  'src/net/': ['gateway', 'kms'],
  'src/os-image/': WHOLE_BOOT,
  'src/tdx/': [...WHOLE_BOOT, 'no-docker'],
  'src/verify/': WHOLE_BOOT,
  'src/x509/': [...WHOLE_BOOT, 'kms', 'gateway'],
  'simulator/': [...WHOLE_BOOT, 'kms', 'gateway'],
  'initramfs/init': ['verified-boot', 'host-inputs'],
  'initramfs/demo/': WHOLE_BOOT,
  'initramfs/overlay/common/usr/lib/systemd/': [...WHOLE_BOOT, 'no-docker', 'sandbox'],
  'initramfs/lib/': [...WHOLE_BOOT, 'rebuilt', 'verified-boot'],
  'initramfs/lib/zfs.ts': ['zfs'],
  'initramfs/tdx-sim/': [...WHOLE_BOOT, 'no-docker'],
  'initramfs/vm/gateway.ts': ['gateway'],
  'initramfs/vm/kms.ts': ['kms', 'gateway'],
  'test/fault/': ['power-cut'],
  // what no guest and no VM test reads
  'test/conformance/': WHOLE_BOOT,
  'test/http/clients/': WHOLE_BOOT,
  'test/': [],
  'docs/': [],
  'bench/': [],
  'packages/': [],
  'packaging/': [],
  'scripts/': [],
};

/** Whether a path at the top of the repository is a page, such as README.md. */
const isPage = (path: string): boolean => /^[^/]+\.md$/.test(path) || path === 'LICENSE';

/**
 * @param changed paths from the root of the repository
 * @param all names of the VM tests
 * @returns names of those that the changes touch, in the order of `all`
 */
export function vmTestsOf(changed: readonly string[], all: readonly string[]): string[] {
  const touched = new Set<string>();
  for (const path of changed) for (const name of touchedBy(path, all)) touched.add(name);
  return all.filter((name) => touched.has(name));
}

function touchedBy(path: string, all: readonly string[]): readonly string[] {
  const own = /^test\/vm\/([^/]+)\.vm\.test\.ts$/.exec(path)?.[1];
  if (own !== undefined) return [own];
  if (isPage(path)) return [];
  if (path.startsWith('test/vm/')) return all;
  const prefix = Object.keys(TOUCHES)
    .filter((start) => path.startsWith(start))
    .sort((a, b) => b.length - a.length)[0];
  return prefix === undefined ? all : (TOUCHES[prefix] ?? all);
}

/** The prefixes that are spoken for, and the tests that they name; for the test of this table. */
export const table = TOUCHES;
