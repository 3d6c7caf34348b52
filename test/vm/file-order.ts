/**
 * The order of the files of VM tests: the longest first, so that no worker ends long before the other. Those that need the
 * ZFS modules come last as long as these are still being built.
 */
import { needsZfs } from './needs-zfs.ts';

/** By how long they take; what is not listed is short. */
export const LONGEST_FIRST = [
  ...['disk', 'ext4', 'kms', 'no-docker', 'refusals', 'gateway'],
  ...['power-cut', 'verified-boot', 'deploy', 'deploy-faults'],
];

/** @param zfsIsThere the modules need not be waited for */
export function fileOrder<T extends { readonly moduleId: string }>(files: readonly T[], zfsIsThere: boolean): T[] {
  const place = ({ moduleId }: T): number => {
    const at = LONGEST_FIRST.findIndex((name) => moduleId.endsWith(`/${name}.vm.test.ts`));
    return at < 0 ? LONGEST_FIRST.length : at;
  };
  const late = ({ moduleId }: T): number => (!zfsIsThere && needsZfs(moduleId) ? 1 : 0);
  return [...files].sort((a, b) => late(a) - late(b) || place(a) - place(b));
}
