/** What the agent knows from its start on: the app, its keys, the way to evidence. Loaded once, shared by all services. */
import type { AgentConfig } from '../config/agent-config.ts';
import type { AppCompose } from '../config/app-compose.ts';
import { type AppKeys, parseAppKeys } from '../config/app-keys.ts';
import { readAppCompose } from '../config/read-app-compose.ts';
import { parseSysConfig } from '../config/sys-config.ts';
import { KeyCache } from '../keys/key-cache.ts';
import { ifExists, readLimited, wipe } from '../sys/files.ts';
import { realTdxMachine } from '../tdx/tdx-machine.ts';
import * as ui from '../ui.ts';
import type { Backend } from './evidence/backend.ts';
import { measuredBackend } from './evidence/measured-backend.ts';
import { AppHealth } from './figures/app-health.ts';
import { Containers } from './figures/containers.ts';
import { CpuShare } from './figures/cpu-share.ts';
import { GatewayFigures } from './figures/gateway-figures.ts';
import { KmsCalls } from './figures/kms-calls.ts';
import { CallStats } from './rpc/call-stats.ts';
import { DemoCertificate } from './services/demo-certificate.ts';
import { GpuEvidenceCollector } from './services/gpu-evidence.ts';

export interface AgentState {
  readonly compose: AppCompose;
  readonly keys: AppKeys;
  readonly keyCache: KeyCache;
  readonly backend: Backend;
  /** raw text, passed on unchanged */
  readonly vmConfig: string;
  readonly hostApiUrl: string | undefined;
  /** mount points that SysInfo reports */
  readonly dataDisks: readonly string[];
  readonly demo: DemoCertificate;
  readonly stats: CallStats;
  /** how this agent's calls to the KMS ended */
  readonly kms: KmsCalls;
  readonly gateway: GatewayFigures;
  readonly containers: Containers;
  readonly cpuShare: CpuShare;
  readonly health: AppHealth;
  readonly gpuEvidence: GpuEvidenceCollector;
}

const SMALL_LIMIT = 1024 * 1024;

/** Reads the documents and opens the backend. @throws document and key errors, TEE errors of the backend */
export async function loadState(config: AgentConfig): Promise<AgentState> {
  const { core } = config;
  const compose = await readAppCompose(core.composeFile);
  const rawKeys = await readLimited(core.keysFile, SMALL_LIMIT);
  const keys = parseAppKeys(rawKeys, core.keysFile);
  wipe(rawKeys, keys.diskCryptKey, keys.envCryptKey); // the disk and the environment are none of our business
  const rawSys = await ifExists(() => readLimited(core.sysConfigFile, SMALL_LIMIT));
  if (rawSys === undefined) ui.warn(`${core.sysConfigFile} does not exist: quotes carry no vm_config`);
  const sys = rawSys === undefined ? undefined : parseSysConfig(rawSys, core.sysConfigFile);
  const vmConfig = sys?.vmConfig ?? '';
  const stats = new CallStats();
  const kms = new KmsCalls();
  const backend = measuredBackend(await openBackend(config, vmConfig), stats.evidence);
  return {
    compose,
    keys,
    keyCache: new KeyCache(keys),
    backend,
    vmConfig,
    hostApiUrl: sys?.hostApiUrl,
    dataDisks: core.dataDisks,
    demo: new DemoCertificate({ keys, backend, kms }),
    stats,
    kms,
    gateway: new GatewayFigures(compose),
    containers: new Containers(),
    cpuShare: new CpuShare(),
    health: new AppHealth(compose),
    gpuEvidence: new GpuEvidenceCollector(),
  };
}

async function openBackend({ core }: AgentConfig, vmConfig: string): Promise<Backend> {
  if (core.simulator === undefined)
    return (await import('./evidence/tdx-backend.ts')).tdxBackend(vmConfig, realTdxMachine);
  const backend = await (await import('./evidence/canned-backend.ts')).cannedBackend(
    core.simulator,
    vmConfig,
    realTdxMachine,
  );
  ui.warn('SIMULATOR: quotes come from a file and prove nothing. Never use this agent for anything real');
  return backend;
}
