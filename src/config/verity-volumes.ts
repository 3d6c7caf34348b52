/** `verity_volumes` of app-compose.json: read-only disks the app wants mounted, each pinned by its dm-verity root. */
import type { Fields } from './fields.ts';

export interface VerityVolume {
  /** bare file name, resolved by the VMM */
  readonly source: string;
  /** 32 bytes */
  readonly verityRoot: Uint8Array;
  /** absolute path */
  readonly target: string;
}

/** @throws DOCUMENT_INVALID, also for two volumes with one target (one root may be mounted at several targets) */
export function parseVerityVolumes(entries: readonly Fields[]): VerityVolume[] {
  const targets = new Set<string>();
  return entries.map((entry) => {
    const target = entry.string('target');
    if (!target.startsWith('/')) entry.fail('target', 'must be an absolute path', target);
    if (targets.has(target)) entry.fail('target', `duplicate verity volume target ${target}`, target);
    targets.add(target);
    return { source: entry.string('source'), verityRoot: entry.requiredHex('verity_root', 32), target };
  });
}
