/**
 * The GPU gate, closed unless everything agrees: an app that demands attested GPUs does not start beside a GPU that cannot
 * be attested, and a policy in rego that nothing can evaluate is not assumed to agree. It stands before the keys, and the
 * driver takes work only after it. Source: dstack boot order, GPU gate; dstack measurement, event order.
 */
import { createHash } from 'node:crypto';
import type { AppCompose } from '../../config/app-compose.ts';
import { HOST_SHARED, PATHS } from '../../config/paths.ts';
import type { GpuPolicy } from '../../config/requirements.ts';
import { DstackError, errorChain } from '../../errors.ts';
import { isDryRun } from '../../sys/effects.ts';
import { exists } from '../../sys/files.ts';
import { EVENT } from '../../tdx/events.ts';
import * as ui from '../../ui.ts';
import type { BootMachine } from '../boot-machine.ts';
import { stepClock } from '../prepare/clock.ts';
import { type DriverState, readDriverState, setReady } from './gpu-driver.ts';
import { type GpuEvidence, proxyBase, takeEvidence } from './gpu-evidence.ts';
import { type Gpu, listGpus } from './gpu-inventory.ts';
import { checkRego } from './gpu-rego.ts';
import { measureText } from './measure-events.ts';
import { copyDir, need, type SetupContext } from './setup-context.ts';

const EVENT_VERSION = 2;

export interface GpuGate {
  readonly machine: BootMachine;
  /** existing folder of ours for the policy file */
  readonly dir: string;
  /** of sys-config, as written there */
  readonly proxyUrl?: string | undefined;
  /** tells the host what takes so long */
  progress(text: string): void;
  measureText(name: string, value: string): Promise<void>;
}

/** The gate of this boot. @throws GPU_UNSUPPORTED, GPU_NOT_ATTESTED, GPU_REFUSED, DOCUMENT_INVALID, FILE_IO */
export const passGpuGate = (context: SetupContext): Promise<void> =>
  checkGpuGate(need(context, 'compose'), {
    machine: context.machine,
    dir: copyDir(context),
    proxyUrl: need(context, 'sysConfig').nvidiaAttestationProxyUrl,
    progress: (text) => context.host.progress(text),
    measureText: (name, value) => measureText(context, name, value),
  });

/** @throws as `passGpuGate` */
export async function checkGpuGate(compose: AppCompose, gate: GpuGate): Promise<void> {
  const { machine, dir } = gate;
  const policy = compose.requirements?.gpuPolicy;
  const gpus = await listGpus(machine.root);
  const names = namesOf(gpus);
  const rego = async (claims: readonly unknown[]) => {
    if (policy?.rego !== undefined) await checkRego(policy.rego, claims, machine, dir);
  };
  if (policy?.attestGpu === false) {
    await rego([]);
    if (gpus.length > 0) ui.warn(`GPU ${names} is attached and used without attestation, as attest_gpu is false`);
    if (gpus.some((gpu) => gpu.nvidia)) await trySetReady(machine);
    return;
  }
  if (gpus.length === 0) return rego([]);
  const foreign = gpus.filter((gpu) => !gpu.nvidia);
  if (foreign.length > 0) throw unsupported(`GPU ${namesOf(foreign)} is not made by NVIDIA, so nothing can attest it`);
  if (!(await exists(`${machine.root}${PATHS.nvattest}`))) {
    throw unsupported(`GPU ${names} must be attested, but this image has no ${PATHS.nvattest}`);
  }
  const proxy = proxyBase(gate.proxyUrl);
  if (isDryRun()) return ui.info(`a real run would attest GPU ${names} with nvattest`);
  gate.progress('attesting GPU');
  await stepClock(machine); // certificates and answers of OCSP have dates
  const evidence = await takeEvidence(machine, gpus.length, proxy);
  const driver = await readDriverState(machine);
  judge(gpus.length, driver, evidence, policy);
  await rego(evidence.claims);
  await setReady(machine);
  await gate.measureText(EVENT.gpuAttestation, eventPayload(driver, evidence));
}

/** What an app may tolerate; without a policy it tolerates nothing. @throws GPU_NOT_ATTESTED, GPU_REFUSED */
function judge(attached: number, driver: DriverState, { gpus }: GpuEvidence, policy?: GpuPolicy): void {
  if (driver.devices !== attached) {
    throw new DstackError('GPU_NOT_ATTESTED', `the driver has ${driver.devices} GPUs, and ${attached} are attached`);
  }
  if (!driver.confidential) throw refused('confidential computing is off on the GPU', 'attest_gpu');
  if (driver.devtools && !policy?.allowDevtools) throw refused('the GPU is in DevTools mode', 'allow_devtools');
  gpus.forEach((gpu, index) => {
    const name = `GPU ${index}`;
    if (!gpu.measured) throw new DstackError('GPU_NOT_ATTESTED', `${name} does not measure what NVIDIA has published`);
    if (!gpu.secureBoot && !policy?.allowInsecureBoot) {
      throw refused(`${name} has not started in secure boot`, 'allow_insecure_boot');
    }
    if (gpu.debug && !policy?.allowDebug) throw refused(`debugging is enabled on ${name}`, 'allow_debug');
  });
}

/** The payload of gpu-attestation: compact JSON, keys in this order. */
const eventPayload = (driver: DriverState, { gpus, output }: GpuEvidence): string =>
  JSON.stringify({
    version: EVENT_VERSION,
    provider: 'nvidia',
    devices: gpus.length,
    cc_mode: 'on',
    devtools: driver.devtools,
    evidence_sha256: createHash('sha256').update(output).digest('hex'),
  });

const namesOf = (gpus: readonly Gpu[]): string => gpus.map(({ address }) => address).join(', ');

const unsupported = (message: string): DstackError =>
  new DstackError('GPU_UNSUPPORTED', message, {
    path: HOST_SHARED.appCompose,
    field: field('attest_gpu'),
    value: true,
  });

const refused = (message: string, name: string): DstackError =>
  new DstackError('GPU_REFUSED', message, { path: HOST_SHARED.appCompose, field: field(name) });

const field = (name: string): string => `requirements.gpu_policy.${name}`;

/** A GPU outside of confidential mode, or no driver, needs nothing. */
async function trySetReady(machine: BootMachine): Promise<void> {
  try {
    await setReady(machine);
  } catch (thrown) {
    ui.warn(`the ready state of the GPUs was not set: ${errorChain(thrown)}`);
  }
}
