/**
 * Holds back the containers that the last boot left: dockerd starts whatever has a restart policy as soon as it runs,
 * before the pre-launch script of this boot had its say. Offline, before dockerd starts, the policy in each container's
 * record is replaced by `no`, and what it was is kept beside the record. `deploy` lets them go: it gives the policy back
 * through docker and starts what docker itself would have started.
 *
 * A power cut between any two writes leaves a state that the next hold understands: the kept policy is written first, and
 * removed last. docker never reads files it does not know in a container's folder and removes them with the container.
 */
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { errorChain } from '../errors.ts';
import { effect } from '../sys/effects.ts';
import { writeAtomic } from '../sys/files.ts';
import * as ui from '../ui.ts';
import {
  CONFIG,
  type ContainerFolder,
  containerFolders,
  HOST_CONFIG,
  labelsOf,
  readRecord,
} from './container-records.ts';
import { setRestartPolicy, startContainer } from './docker-control.ts';

export const DOCKER_ROOT = '/var/lib/docker';

const KEPT = 'dstack-held.json';
const ID = /^[0-9a-f]{64}$/;
const POLICIES = ['always', 'unless-stopped', 'on-failure'];

/** What a container was before it was held. */
export interface Held {
  readonly id: string;
  readonly policy: { readonly Name: string; readonly MaximumRetryCount: number };
  /** docker would have started it together with itself */
  readonly starts: boolean;
  /** compose service, or empty for a container that compose does not know */
  readonly service: string;
  readonly project: string;
}

/**
 * Holds every container below `dockerRoot`/containers that has a restart policy. dockerd must not run.
 * @returns what is held, also from an earlier, unfinished start
 * @throws FILE_IO when a policy cannot be written: such a container could start by itself
 */
export async function holdContainers(dockerRoot: string): Promise<Held[]> {
  const held: Held[] = [];
  for (const folder of ownFolders(dockerRoot)) {
    let present: ReturnType<typeof describe>;
    try {
      present = describe(folder);
    } catch (thrown) {
      // dockerd skips a container whose record it cannot read
      ui.warn(`container ${folder.id.slice(0, 12)} is left alone: ${errorChain(thrown)}`);
      continue;
    }
    const container = present === undefined ? readKept(folder) : await hold(folder, present);
    if (container !== undefined) held.push(container);
  }
  if (held.length > 0) ui.info(`${held.length} containers of the last boot wait until the app is started`);
  return held;
}

interface Present {
  readonly hostConfig: Record<string, unknown>;
  readonly container: Held;
}

async function hold({ dir }: ContainerFolder, { hostConfig, container }: Present): Promise<Held> {
  await writeAtomic(join(dir, KEPT), JSON.stringify(container), 0o600);
  const none = { ...hostConfig, RestartPolicy: { Name: 'no', MaximumRetryCount: 0 } };
  await writeAtomic(join(dir, HOST_CONFIG), JSON.stringify(none), 0o600);
  return container;
}

/** A container with a restart policy; undefined when it has none, or no record. */
function describe(folder: ContainerFolder): Present | undefined {
  const hostConfig = readRecord(folder, HOST_CONFIG);
  const policy = (hostConfig?.['RestartPolicy'] ?? {}) as { Name?: unknown; MaximumRetryCount?: unknown };
  if (hostConfig === undefined || typeof policy.Name !== 'string' || !POLICIES.includes(policy.Name)) return undefined;
  const config = readRecord(folder, CONFIG);
  const state = (config?.['State'] ?? {}) as { ExitCode?: unknown };
  const labels = labelsOf(config);
  const stopped = config?.['HasBeenManuallyStopped'] === true;
  const failed = typeof state.ExitCode === 'number' && state.ExitCode !== 0;
  const label = (name: string) => (typeof labels[name] === 'string' ? (labels[name] as string) : '');
  return {
    hostConfig,
    container: {
      id: folder.id,
      policy: {
        Name: policy.Name,
        MaximumRetryCount: typeof policy.MaximumRetryCount === 'number' ? policy.MaximumRetryCount : 0,
      },
      // docker's own rules for a start of the daemon (Engine documentation, restart policies)
      starts: policy.Name === 'always' || (!stopped && (policy.Name === 'unless-stopped' || failed)),
      service: label('com.docker.compose.service'),
      project: label('com.docker.compose.project'),
    },
  };
}

/**
 * Lets held containers go, once: their policies come back. Those of the app's own project are left to compose, the others
 * are started if docker would have started them. dockerd must run.
 * @returns containers that could not be let go: they stay held, and the next start tries again
 */
export async function releaseContainers(
  dockerRoot: string,
  options: { project?: string; socketPath?: string } = {},
): Promise<Held[]> {
  const failed: Held[] = [];
  for (const folder of ownFolders(dockerRoot)) {
    const { dir } = folder;
    const held = readKept(folder);
    if (held === undefined) continue;
    try {
      await effect(`give container ${held.id} its restart policy ${held.policy.Name} back`, undefined, () =>
        setRestartPolicy(held.id, held.policy, options.socketPath),
      );
      if (held.starts && (held.service === '' || held.project !== options.project)) {
        await effect(`start container ${held.id}`, undefined, () => startContainer(held.id, options.socketPath));
      }
      await effect(`remove ${join(dir, KEPT)}`, undefined, () => fs.rm(join(dir, KEPT), { force: true }));
    } catch (thrown) {
      ui.warn(`container ${held.id.slice(0, 12)} stays held: ${errorChain(thrown)}`);
      failed.push(held);
    }
  }
  return failed;
}

/** Folders named like a container; anything else is not docker's. */
const ownFolders = (dockerRoot: string): ContainerFolder[] =>
  containerFolders(dockerRoot).filter(({ id }) => ID.test(id));

function readKept(folder: ContainerFolder): Held | undefined {
  let value: Partial<Held> | undefined;
  try {
    value = readRecord(folder, KEPT);
  } catch {}
  const { id, policy, starts, service, project } = value ?? {};
  if (id !== folder.id) return undefined;
  if (typeof policy?.Name !== 'string' || !POLICIES.includes(policy.Name)) return undefined;
  return {
    id,
    policy: { Name: policy.Name, MaximumRetryCount: Number(policy.MaximumRetryCount) || 0 },
    starts: starts === true,
    service: String(service ?? ''),
    project: String(project ?? ''),
  };
}
