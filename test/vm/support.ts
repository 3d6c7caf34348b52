/** What the VM tests share. */
import { join } from 'node:path';
import { expect } from 'vitest';
import { demoAppComposeText } from '../../initramfs/demo/app-compose.ts';
import { cacheRoot } from '../../initramfs/lib/cache.ts';
import { ensureDevImage } from '../../initramfs/vm/dev-image.ts';
import { Machine } from '../../initramfs/vm/machine.ts';
import type { MachineOptions } from '../../initramfs/vm/machine-options.ts';
import { freePort } from '../../initramfs/vm/ports.ts';

/** Kernel arguments of a VM that stops after its file systems and the shell: no network, no dstack unit, no docker. */
export const NOTHING_STARTED = ['systemd.unit=sysinit.target'];

/**
 * Such a VM without a boot of its own, where nothing of the boot is looked at. All have one size, so that one frozen guest
 * serves them all, and one processor: two that are emulated wait for each other, which costs two fifths of the time. A
 * second boot of one disk is booted: thawed guests share a boot id.
 */
export const THAWED = { thaw: true, memoryMiB: 3072, cpus: 1 } as const;

export const vmDir = (name: string): string => join(cacheRoot, 'vm', `test-${name}`);

export interface BootOptions extends Partial<Omit<MachineOptions, 'dir'>> {
  /** fields of app-compose.json that differ from the demo's */
  readonly app?: Record<string, unknown>;
  readonly zfs?: boolean;
}

/** Boots a VM with the demo app, changed as asked. The caller stops it. */
export async function boot(name: string, { app = {}, zfs = false, ...options }: BootOptions = {}): Promise<Machine> {
  // not the guest's own numbers: another test may run beside this one
  const ports = (options.guestPorts ?? [8090, 8080]).map(async (guest) => ({ guest, host: await freePort() }));
  return Machine.boot({
    image: options.image ?? (await ensureDevImage({ zfs })),
    dir: vmDir(name),
    share: { 'app-compose.json': demoAppComposeText(app) },
    forwards: await Promise.all(ports),
    ...options,
  });
}

/** The payloads of all events of one name. */
export const payloads = (vm: Machine, name: string): string[] =>
  vm.events.filter(({ event }) => event === name).map(({ payload }) => payload);

/** A command that must fail with one code; returns everything it printed on stderr. */
export async function fails(vm: Machine, command: string, code: string, timeoutMs = 60_000): Promise<string> {
  const { exit, stdout, stderr } = await vm.sh(command, { timeoutMs });
  const shown = `$ ${command}\nexit ${exit}\n${stdout}${stderr}`;
  expect(exit, shown).not.toBe(0);
  expect(stderr, shown).toContain(`[${code}]`);
  expect(stderr.match(/^(<\d>)?error \[/gm), shown).toHaveLength(1);
  return stderr;
}
