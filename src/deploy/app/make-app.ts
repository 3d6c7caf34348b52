/**
 * Makes an app-compose.json from a compose file, in the form in which the platform's own deployment tool writes it: the
 * same fields in the same order, indented by four, without a line end. The bytes are what is measured, so they must not
 * depend on anything but what was asked for.
 */
import type { KeyProviderKind } from '../../config/app-compose.ts';

export interface AppOptions {
  readonly name: string;
  /** the compose file, byte for byte */
  readonly composeText: string;
  readonly runner: 'docker-compose' | 'nerdctl-compose';
  readonly keyProvider: Exclude<KeyProviderKind, 'tpm'>;
  readonly gateway: boolean;
  readonly publicLogs: boolean;
  readonly publicSysinfo: boolean;
  readonly allowedEnvs: readonly string[];
  readonly noInstanceId: boolean;
  readonly secureTime: boolean;
  readonly preLaunchScript?: string;
  readonly storageFs?: string;
  /** bytes */
  readonly swapSize?: number;
}

/** The document as text. */
export function appComposeText(options: AppOptions): string {
  const { keyProvider, preLaunchScript, storageFs, swapSize = 0, runner } = options;
  const document = {
    // older guests read numbers only: what they do not know must fail there
    manifest_version: runner === 'nerdctl-compose' ? '3' : 2,
    name: options.name,
    runner,
    docker_compose_file: options.composeText,
    kms_enabled: keyProvider === 'kms',
    gateway_enabled: options.gateway,
    local_key_provider_enabled: keyProvider === 'local',
    key_provider_id: '',
    public_logs: options.publicLogs,
    public_sysinfo: options.publicSysinfo,
    allowed_envs: options.allowedEnvs,
    no_instance_id: options.noInstanceId,
    secure_time: options.secureTime,
    key_provider: keyProvider,
    ...(preLaunchScript === undefined ? {} : { pre_launch_script: preLaunchScript }),
    ...(swapSize === 0 ? {} : { swap_size: swapSize }),
    ...(storageFs === undefined ? {} : { storage_fs: storageFs }),
  };
  return JSON.stringify(document, null, 4);
}
