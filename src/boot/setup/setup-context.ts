/** What `setup` works with and what its phases find out, one after the other. */
import type { AppCompose } from '../../config/app-compose.ts';
import type { AppKeys } from '../../config/app-keys.ts';
import type { InstanceInfo } from '../../config/instance-info.ts';
import type { SysConfig } from '../../config/sys-config.ts';
import { DstackError } from '../../errors.ts';
import type { BootMachine } from '../boot-machine.ts';
import type { BootServices } from '../boot-services.ts';
import type { SequenceContext } from '../phase.ts';
import type { HostFiles } from './host-files.ts';

export interface SetupOptions {
  /** folder that becomes /dstack */
  readonly workDir: string;
  /** where the data disk is mounted */
  readonly mountPoint: string;
  /** data device; default: what `prepare` chose */
  readonly device?: string;
  /** read this folder instead of mounting the host share */
  readonly hostShared?: string;
  /** places that tests move; the defaults are the well-known ones */
  readonly shareMount: string;
  readonly runDir: string;
  readonly preparedFile: string;
  readonly dockerConfig: string;
}

/** Found by a phase, needed by later ones. */
export interface Found {
  device: string;
  hostFiles: HostFiles;
  sysConfig: SysConfig;
  compose: AppCompose;
  instance: InstanceInfo;
  keys: AppKeys;
  storage: { readonly encrypted: boolean; readonly fs: 'zfs' | 'ext4' };
}

export interface SetupContext extends SequenceContext {
  readonly options: SetupOptions;
  readonly machine: BootMachine;
  readonly services: BootServices;
  readonly found: Partial<Found>;
}

/** What an earlier phase found. A missing value is a defect of the sequence, not of the machine. */
export function need<K extends keyof Found>(context: { found: Partial<Found> }, key: K): Found[K] {
  const value = context.found[key];
  if (value === undefined) throw new DstackError('INTERNAL', `phase order is wrong: ${key} is not known yet`);
  return value as Found[K];
}

/** The copy of the host share that becomes /dstack/.host-shared. */
export const copyDir = (context: SetupContext): string => `${context.options.workDir}/.host-shared`;
