/**
 * What the sequences use of the rooms below where these touch the machine. Tests put fakes here that obey the same rules.
 * The real rooms are loaded when a phase first needs them.
 */
import * as fs from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import type { AppCompose } from '../config/app-compose.ts';
import type { Cmdline } from '../config/cmdline.ts';
import { OS_RELEASE_PATHS, osReleaseValue } from '../config/os-release.ts';
import { readCmdline } from '../config/own-cmdline.ts';
import type { DataDevice, DataDisk, DataDiskOptions, SwapOptions } from '../fde/fde.ts';
import { loadBootClock, loadGateway } from '../net/net.ts';
import { ifExists } from '../sys/files.ts';
import type { Attestation } from '../tdx/attestation.ts';
import type { Tee } from '../tdx/platform.ts';
import { realTdxMachine } from '../tdx/tdx-machine.ts';

export interface BootServices {
  /** the kernel command line */
  cmdline(): Promise<Cmdline>;
  /** @throws CLOCK_BEHIND when the clock is before the date of the image */
  checkClock(): Promise<void>;
  /** VERSION_ID of os-release */
  osVersion(): Promise<string>;
  detectTee(): Promise<Tee>;
  setEventVersion(version: 1 | 2): Promise<void>;
  emitEvent(name: string, payload: Uint8Array): Promise<{ readonly digest: Uint8Array }>;
  takeQuote(reportData: Uint8Array): Promise<Uint8Array>;
  takeAttestation(reportData: Uint8Array): Promise<Attestation>;
  /** for our own eyes, without the quoting service where the driver has reports */
  ownEvidence(): Promise<Attestation>;
  chooseDataDevice(): Promise<DataDevice>;
  growPartition(device: string): Promise<unknown>;
  openDataDisk(options: DataDiskOptions): Promise<DataDisk>;
  /** after a good boot, the restarts after failed ones are no longer counted */
  forgetRestarts(device: string): Promise<unknown>;
  setupSwap(options: SwapOptions): Promise<unknown>;
  mountVerityVolumes(volumes: AppCompose['verityVolumes']): Promise<unknown>;
  /** a forced registration with the gateway of this work folder */
  joinGateway(workDir: string): Promise<unknown>;
  setupDockerRegistry(registry: string | undefined, path: string): Promise<unknown>;
  extractComposeFile(compose: AppCompose, dir: string): Promise<unknown>;
  removeOrphansOffline(composeFile: string, dockerRoot: string): Promise<unknown>;
  holdContainers(dockerRoot: string): Promise<unknown>;
  /** waits for so many milliseconds before something is tried again */
  pause(ms: number): Promise<void>;
}

const fde = () => import('../fde/fde.ts');
const deploy = () => import('../deploy/deploy.ts');

async function osVersion(): Promise<string> {
  for (const path of OS_RELEASE_PATHS) {
    const text = await ifExists(() => fs.readFile(path, 'utf8'));
    if (text !== undefined) return osReleaseValue(text, 'VERSION_ID') ?? '';
  }
  return '';
}

export const realBootServices: BootServices = {
  pause: (ms) => setTimeout(ms),
  cmdline: readCmdline,
  checkClock: async () => void (await (await loadBootClock()).bootClock.now()),
  osVersion,
  detectTee: async () => (await import('../tdx/platform.ts')).detectTee(realTdxMachine),
  setEventVersion: async (version) => (await import('../tdx/event-log.ts')).setEventVersion(version, realTdxMachine),
  emitEvent: async (name, payload) => (await import('../tdx/event-log.ts')).emitEvent(name, payload, realTdxMachine),
  takeQuote: async (reportData) => (await import('../tdx/quote.ts')).takeQuote(reportData, realTdxMachine),
  takeAttestation: async (reportData) =>
    (await import('../tdx/take-evidence.ts')).takeAttestation(reportData, realTdxMachine),
  ownEvidence: async () => (await import('../tdx/report-identity.ts')).ownEvidence(realTdxMachine),
  chooseDataDevice: async () => {
    const { chooseDataDevice, realDiskMachine } = await fde();
    return chooseDataDevice({ cmdline: await readCmdline(), env: process.env }, realDiskMachine);
  },
  growPartition: async (device) => {
    const { growPartition, realDiskMachine } = await fde();
    return growPartition(device, realDiskMachine);
  },
  openDataDisk: async (options) => {
    const { openDataDisk, realDiskMachine } = await fde();
    return openDataDisk(options, realDiskMachine);
  },
  forgetRestarts: async (device) => {
    const { forgetRestarts, realDiskMachine } = await fde();
    return forgetRestarts(device, realDiskMachine);
  },
  setupSwap: async (options) => {
    const { setupSwap, realDiskMachine } = await fde();
    return setupSwap(options, realDiskMachine);
  },
  mountVerityVolumes: async (volumes) => {
    const { mountVerityVolumes, realDiskMachine } = await fde();
    return mountVerityVolumes(volumes, realDiskMachine);
  },
  joinGateway: async (workDir) => {
    const { refreshGateway, realNetMachine } = await loadGateway();
    return refreshGateway({ workDir, force: true }, realNetMachine());
  },
  setupDockerRegistry: async (registry, path) =>
    (await (await deploy()).loadDockerRegistry()).setupDockerRegistry(registry, path),
  extractComposeFile: async (compose, dir) =>
    (await (await deploy()).loadComposeFile()).extractComposeFile(compose, dir),
  removeOrphansOffline: async (composeFile, dockerRoot) => {
    // a new disk: nothing to compare the compose file with
    const { containerFolders } = await (await deploy()).loadContainerRecords();
    if (containerFolders(dockerRoot).length === 0) return;
    await (await (await deploy()).loadOrphans()).removeOrphansOffline(composeFile, dockerRoot);
  },
  holdContainers: async (dockerRoot) => (await (await deploy()).loadHold()).holdContainers(dockerRoot),
};
