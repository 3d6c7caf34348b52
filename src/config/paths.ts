/** Well-known places of a guest. One table, so that no path is spelled twice. Source: dstack formats and boot order. */

export const PATHS = {
  hostSharedMount: '/tmp/.host-shared',
  workDir: '/var/volatile/dstack',
  dataMount: '/var/volatile/dstack/persistent',
  dstack: '/dstack',
  run: '/run/dstack',
  /** what `prepare` found out for `setup` */
  prepared: '/run/dstack/prepared.json',
  /** the earliest moment this boot believes its clock to be at */
  clockFloor: '/run/dstack/clock-floor.json',
  /** chrony reads the servers of the kernel command line here: `sourcedir` in the image's chrony.conf */
  chronySources: '/run/dstack/chrony',
  agentConfig: '/dstack/agent.json',
  eventDir: '/run/log/dstack',
  bootTimeline: '/run/log/dstack/boot.jsonl',
  /** how registrations with gateways ended: written by whoever registers, read by the agent */
  gatewayRecord: '/run/log/dstack/gateway.json',
  dstackSocket: '/run/dstack.sock',
  tappdSocket: '/run/tappd.sock',
  dockerSocket: '/var/run/docker.sock',
  /** NVIDIA's attestation client, where its package puts it */
  nvattest: '/usr/bin/nvattest',
  /** what it printed in this boot */
  gpuEvidence: '/run/nvidia-gpu-attestation/attestation.out',
} as const;

/** Names inside the host-shared directory. */
export const HOST_SHARED = {
  appCompose: 'app-compose.json',
  sysConfig: '.sys-config.json',
  instanceInfo: '.instance_info',
  encryptedEnv: '.encrypted-env',
  userConfig: '.user-config',
  appKeys: '.appkeys.json',
  decryptedEnv: '.decrypted-env',
  decryptedEnvJson: '.decrypted-env.json',
} as const;

let chosen: string | undefined;

/** `--host-shared` of a command: counts more than the environment, for the whole process. */
export function chooseHostShared(dir: string): void {
  chosen = dir;
}

/**
 * The host-shared directory of this process tree: DSTACK_HOST_SHARED_DIR, else /dstack/.host-shared.
 * `setup` exports the variable because /dstack is mounted only after it.
 */
export function hostSharedDir(): string {
  return chosen || process.env['DSTACK_HOST_SHARED_DIR'] || '/dstack/.host-shared';
}

/** A file of the host-shared directory. */
export function hostShared(name: keyof typeof HOST_SHARED): string {
  return `${hostSharedDir()}/${HOST_SHARED[name]}`;
}
