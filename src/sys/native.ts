/**
 * The few operating system calls that Node has no function for, behind one interface. The compiled binary gets them
 * from Bun (`bun.ts`, loaded on first use); unit tests under plain Node install a fake that obeys the kernel's rules.
 */
import { DstackError } from '../errors.ts';
import type { Native } from './native-calls.ts';

export type { ErrnoError, Native, PeerCredentials } from './native-calls.ts';

export const VMADDR_CID_ANY = 0xffffffff;
export const VMADDR_CID_LOCAL = 1;
export const VMADDR_CID_HOST = 2;

let installed: Native | undefined;

/** Installs an implementation: used by tests only. */
export function setNative(implementation: Native | undefined): void {
  installed = implementation;
}

/** The implementation for this runtime. @throws NATIVE_UNAVAILABLE outside Bun when nothing was installed */
export async function native(): Promise<Native> {
  if (installed) return installed;
  if (!('Bun' in globalThis)) {
    throw new DstackError('NATIVE_UNAVAILABLE', 'this call needs the compiled binary');
  }
  installed = (await import('./bun.ts')).bunNative;
  return installed;
}

/** Collects garbage at once and lets the allocator give pages back; a few tens of milliseconds. Elsewhere than in Bun nothing happens. */
export function collectGarbage(): void {
  (globalThis as { Bun?: { gc(synchronous: boolean): void } }).Bun?.gc(true);
}
