/** The device of the trusted execution environment: found, or brought up by loading its driver; then configfs for quotes. */
import * as fs from 'node:fs/promises';
import { DstackError, errorChain } from '../../errors.ts';
import { effect, isDryRun } from '../../sys/effects.ts';
import { exists, ifExists } from '../../sys/files.ts';
import { detectTee, refusePlatform, TDX_DEVICE, TSM_ENTRY, TSM_REPORT_DIR } from '../../tdx/platform.ts';
import * as ui from '../../ui.ts';
import type { BootMachine } from '../boot-machine.ts';

const CONFIGFS = '/sys/kernel/config';
/** in the order in which they are looked for */
const KINDS = [
  { kind: 'sev', device: '/dev/sev-guest', provider: 'sev_guest', module: 'sev-guest' },
  { kind: 'tdx', device: TDX_DEVICE, provider: 'tdx_guest', module: 'tdx-guest' },
] as const;

export type TeeKind = (typeof KINDS)[number]['kind'];

async function providers(machine: BootMachine): Promise<string[]> {
  const names = (await ifExists(() => fs.readdir(`${machine.root}${TSM_REPORT_DIR}`))) ?? [];
  const texts = names.map((name) =>
    fs.readFile(`${machine.root}${TSM_REPORT_DIR}/${name}/provider`, 'utf8').catch(() => ''),
  );
  return (await Promise.all(texts)).map((text) => text.trim());
}

async function present(machine: BootMachine): Promise<TeeKind | undefined> {
  const known = await providers(machine);
  for (const { kind, device, provider } of KINDS) {
    if (await exists(`${machine.root}${device}`)) return kind;
    if (known.some((name) => name.startsWith(provider))) return kind;
  }
  return undefined;
}

/**
 * Finds the TEE, loading its driver if needed, and makes sure that this version serves it: what `setup` would refuse is
 * refused here, before a folder is mounted or a partition table written. A driver that loads without a device to drive
 * does not count.
 * @throws TEE_NOT_FOUND
 */
export async function findTeeDevice(machine: BootMachine): Promise<TeeKind> {
  refusePlatform(machine);
  const kind = await findKind(machine);
  if (!isDryRun()) detectTee(machine);
  return kind;
}

async function findKind(machine: BootMachine): Promise<TeeKind> {
  let kind = await present(machine);
  let last: unknown;
  for (const { module } of KINDS) {
    if (kind !== undefined) return kind;
    try {
      await machine.run('modprobe', [module], { timeoutMs: 30_000 });
      kind = await present(machine);
    } catch (thrown) {
      last = thrown;
    }
  }
  if (kind !== undefined) return kind;
  if (isDryRun()) {
    ui.warn('no TEE device found: a real run would fail here, unless its driver finds one');
    return 'tdx';
  }
  const devices = KINDS.map(({ device }) => device).join(' nor ');
  throw new DstackError('TEE_NOT_FOUND', `no TEE device found: neither ${devices}`, { path: TDX_DEVICE, cause: last });
}

/** Mounts configfs unless it is, and makes the TSM report entry that quotes are taken through. */
export async function openConfigfs(machine: BootMachine): Promise<void> {
  const known = (await ifExists(() => fs.readFile(`${machine.root}/proc/filesystems`, 'utf8'))) ?? '';
  if (!/\bconfigfs$/m.test(known)) return ui.debug('the kernel has no configfs');
  if ((await machine.mountAt(CONFIGFS)) === undefined) {
    await machine.run('mount', ['-t', 'configfs', 'configfs', CONFIGFS], { code: 'CONFIGFS_UNAVAILABLE' });
  }
  const entry = `${machine.root}${TSM_ENTRY}`;
  if (!(await exists(`${machine.root}${TDX_DEVICE}`)) || (!isDryRun() && (await exists(entry)))) return;
  try {
    await effect(`mkdir ${TSM_ENTRY}`, undefined, () => fs.mkdir(entry).then(() => undefined));
  } catch (thrown) {
    // the quote code has its own way to make the entry and reports properly
    ui.debug(`${TSM_ENTRY} was not made: ${errorChain(thrown)}`);
  }
}
