/**
 * The boot of a confidential VM, top to bottom. systemd starts `prepare`, then `setup --handover`; after that the guest
 * agent and the containers (their own commands). Phases in an inner list run at the same time.
 *
 * The order of everything that measures, notifies or opens something is a contract (dstack boot order): verifiers replay
 * the events and the VMM shows the notifications. Do not reorder without reading it.
 */
import { timeServers } from '../config/time-servers.ts';
import * as handover from './handover/handover.ts';
import type { Step } from './phase.ts';
import { nameTimeServers, stepClock, waitForSecureTime } from './prepare/clock.ts';
import * as disk from './prepare/data-device.ts';
import { mountOverlays } from './prepare/overlays.ts';
import type { PrepareContext } from './prepare/prepare-context.ts';
import { findTeeDevice, openConfigfs } from './prepare/tee-device.ts';
import * as environment from './setup/app-files.ts';
import * as documents from './setup/documents.ts';
import { passGpuGate } from './setup/gpu-gate.ts';
import { joinGateway } from './setup/join-gateway.ts';
import * as keys from './setup/keys.ts';
import * as measure from './setup/measure-events.ts';
import { printAppInfo } from './setup/print-identity.ts';
import { need, type SetupContext } from './setup/setup-context.ts';
import * as storage from './setup/storage.ts';

/** The machine: nothing of the host or the app is read yet. */
export const PREPARE: readonly Step<PrepareContext>[] = [
  // first: nothing is mounted and no disk is touched on a machine that cannot attest, for example a desk
  { name: 'find the TEE device', run: ({ machine }) => findTeeDevice(machine).then(() => undefined) },
  { name: 'make folders writable', run: ({ machine }) => mountOverlays(machine) },
  [
    {
      name: 'name the time servers',
      run: async ({ machine, services }) => nameTimeServers(machine, timeServers(await services.cmdline())),
    },
    { name: 'step the clock', run: ({ machine }) => stepClock(machine) },
    { name: 'open configfs', run: ({ machine }) => openConfigfs(machine) },
    { name: 'choose the data disk', run: disk.chooseDevice },
  ],
  { name: 'check the clock', run: ({ services }) => services.checkClock() },
  { name: 'grow the data partition', run: disk.growDevice },
];

/** The app: what it is, its keys, its disk (stage 0), and what it finds on it (stage 1). */
export const SETUP: readonly Step<SetupContext>[] = [
  [
    { name: 'mount the host share', run: documents.openShare },
    // certificates and signatures are most of this program; they load while `mount` runs
    { name: 'load the key code', run: keys.loadKeyCode },
  ],
  { name: 'copy the host share', run: documents.copyShare },
  [
    { name: 'read the documents', run: documents.readDocuments },
    { name: 'unmount the host share', run: documents.closeShare },
  ],
  { name: 'take over from prepare', run: documents.adoptPrepared },
  {
    name: 'fix the event log version',
    run: (context) => context.services.setEventVersion(need(context, 'compose').eventLogVersion),
  },
  { name: 'check the app policy', run: documents.checkPolicy },
  {
    name: 'wait for secure time',
    when: (context) => need(context, 'compose').secureTime,
    run: async ({ machine, services }) =>
      waitForSecureTime(machine, { authenticated: timeServers(await services.cmdline()).length > 0 }),
  },
  { name: 'measure the app', run: measure.measureApp },
  { name: 'pass the GPU gate', run: passGpuGate },
  { name: 'measure the instance', run: measure.measureInstance },
  { name: 'get the app keys', notify: () => 'requesting app keys', run: keys.obtainKeys },
  { name: 'check the key binding', run: keys.checkKeyBinding },
  { name: 'measure the key provider', run: keys.measureKeyProvider },
  { name: 'write the app keys', run: keys.writeKeys },
  { name: 'choose the storage', run: storage.chooseStorage },
  { name: 'open the data disk', run: storage.openStorage },
  { name: 'set up swap', run: storage.openSwap },
  { name: 'tell the host the instance', run: storage.reportInstance },
  { name: 'measure system-ready', run: storage.measureReady },
  [
    { name: 'print the app info', run: printAppInfo },
    { name: 'decrypt the environment', run: environment.writeEnvironment },
    { name: 'link the documents', run: environment.linkDocuments },
    { name: 'configure the agent', run: environment.writeAgentConfig },
  ],
  { name: 'wipe the keys', run: async (context) => keys.wipeKeys(context) },
  { name: 'join the gateway', notify: () => 'setting up dstack-gateway', run: joinGateway },
  {
    name: 'configure docker',
    notify: () => 'setting up docker',
    run: environment.configureDocker,
  },
];

/** Puts everything in its place for docker, the agent and the app. */
export const HANDOVER: readonly Step<SetupContext>[] = [
  { name: 'bind the container state', run: handover.bindContainerState },
  { name: 'bind the work folder', run: handover.bindWork },
  {
    name: 'mount verity volumes',
    when: (context) => need(context, 'compose').verityVolumes.length > 0,
    run: handover.mountVolumes,
  },
  {
    name: 'run init scripts',
    when: (context) => need(context, 'compose').initScripts.length > 0,
    notify: () => 'init-script',
    run: handover.runScripts,
  },
  { name: 'extract the compose file', when: handover.usesComposeFile, run: handover.extractCompose },
  { name: 'remove orphaned containers', when: handover.usesComposeFile, run: handover.removeOrphans },
  { name: 'hold the containers of the last boot', run: handover.holdLastContainers },
];
