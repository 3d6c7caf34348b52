/** Which platform this is and which trusted execution environment it has (dstack measurement, platform detection). */
import { readdirSync, readFileSync } from 'node:fs';
import { DstackError } from '../errors.ts';
import { pathExists, pathOf, type TdxMachine } from './tdx-machine.ts';

export type PlatformName = 'dstack' | 'gcp' | 'nitro-enclave' | 'aws-ec2' | 'unknown';

/** Attestation variants this program can serve. */
export interface Tee {
  readonly variant: 'dstack-tdx';
}

export const TDX_DEVICE = '/dev/tdx_guest';
export const TSM_REPORT_DIR = '/sys/kernel/config/tsm/report';
export const TSM_ENTRY = `${TSM_REPORT_DIR}/com.intel.dcap`;
export const ENV_CONFIGFS_PATH = 'DCAP_TDX_QUOTE_CONFIGFS_PATH';
export const TDX_PROVIDER = 'tdx_guest';

/** Reads a small text attribute; undefined when it cannot be read. */
function attribute(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** The platform by device nodes and the DMI product name. Never fails: what is not known is `unknown`. */
export function detectPlatform(machine: Pick<TdxMachine, 'root'>): PlatformName {
  if (pathExists(pathOf(machine, '/dev/nsm'))) return 'nitro-enclave';
  switch (attribute(pathOf(machine, '/sys/class/dmi/id/product_name'))) {
    case 'dstack':
    case 'qemu':
      return 'dstack';
    case 'Google Compute Engine':
      return 'gcp';
    case 'Nitro Enclave':
      return 'nitro-enclave';
  }
  return attribute(pathOf(machine, '/sys/class/dmi/id/sys_vendor')) === 'Amazon EC2' ? 'aws-ec2' : 'unknown';
}

const isTdxProvider = (dir: string): boolean => attribute(`${dir}/provider`)?.startsWith(TDX_PROVIDER) === true;

/** True if this guest can extend TDX registers or take TDX quotes. */
export function tdxAvailable(machine: Pick<TdxMachine, 'root'>): boolean {
  if (pathExists(pathOf(machine, TDX_DEVICE))) return true;
  const override = process.env[ENV_CONFIGFS_PATH];
  if (override !== undefined) return override.startsWith('/') && isTdxProvider(override);
  if (isTdxProvider(pathOf(machine, TSM_ENTRY))) return true;
  const dir = pathOf(machine, TSM_REPORT_DIR);
  try {
    return readdirSync(dir).some((name) => isTdxProvider(`${dir}/${name}`));
  } catch {
    return false;
  }
}

/**
 * The attestation variant of this guest. An unknown platform is treated as dstack's own.
 * @throws TEE_NOT_FOUND when there is none, or one that this version does not serve
 */
export function detectTee(machine: Pick<TdxMachine, 'root'>): Tee {
  refusePlatform(machine);
  if (!tdxAvailable(machine)) {
    throw new DstackError('TEE_NOT_FOUND', `no TDX device found: neither ${TDX_DEVICE} nor a configfs-tsm provider`, {
      path: pathOf(machine, TDX_DEVICE),
    });
  }
  return { variant: 'dstack-tdx' };
}

/** Refuses a machine that this version cannot serve, whatever devices it has. @throws TEE_NOT_FOUND */
export function refusePlatform(machine: Pick<TdxMachine, 'root'>): void {
  const platform = detectPlatform(machine);
  if (platform !== 'dstack' && platform !== 'unknown') {
    throw new DstackError('TEE_NOT_FOUND', `platform ${platform} is not served by this version`, {
      field: 'platform',
      value: platform,
      hint: 'this version serves Intel TDX guests of dstack’s own virtual machine monitor',
    });
  }
}
