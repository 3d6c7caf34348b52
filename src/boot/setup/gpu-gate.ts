/**
 * The GPU gate, closed unless everything agrees: an app that demands attested GPUs does not start beside a GPU that cannot
 * be attested, and a policy in rego that nothing can evaluate is not assumed to agree. This version does not verify the
 * evidence of GPUs, so an app that needs it is refused by name. Source: dstack boot order, GPU gate.
 */
import type { AppCompose } from '../../config/app-compose.ts';
import { HOST_SHARED } from '../../config/paths.ts';
import { DstackError, errorChain } from '../../errors.ts';
import { exists } from '../../sys/files.ts';
import * as ui from '../../ui.ts';
import type { Os } from '../os.ts';
import { copyDir, need, type SetupContext } from './context.ts';
import { type Gpu, listGpus } from './gpu-inventory.ts';
import { checkRego } from './gpu-rego.ts';

/** NVIDIA's attestation client, where its package puts it */
const NVATTEST = '/usr/bin/nvattest';
const READY_TIMEOUT_MS = 30_000;

export interface GpuGate {
  readonly os: Os;
  /** existing folder of ours for the policy file */
  readonly dir: string;
}

/** The gate of this boot. @throws GPU_UNSUPPORTED, GPU_REFUSED, FILE_IO */
export const passGpuGate = (context: SetupContext): Promise<void> =>
  checkGpuGate(need(context, 'compose'), { os: context.os, dir: copyDir(context) });

/** @throws GPU_UNSUPPORTED, GPU_REFUSED, FILE_IO */
export async function checkGpuGate(compose: AppCompose, { os, dir }: GpuGate): Promise<void> {
  const policy = compose.requirements?.gpuPolicy;
  const gpus = await listGpus(os.root);
  const nvidia = gpus.filter((gpu) => gpu.nvidia);
  const names = namesOf(gpus);
  const rego = async () => {
    if (policy?.rego !== undefined) await checkRego(policy.rego, [], os, dir);
  };
  if (policy?.attestGpu === false) {
    await rego();
    if (gpus.length > 0) ui.warn(`GPU ${names} is attached and used without attestation, as attest_gpu is false`);
    if (nvidia.length > 0) await setReady(os);
    return;
  }
  if (gpus.length === 0) return rego();
  const foreign = gpus.filter((gpu) => !gpu.nvidia);
  if (foreign.length > 0) throw refuse(`GPU ${namesOf(foreign)} is not of NVIDIA, so nothing can attest it`);
  if (!(await exists(`${os.root}${NVATTEST}`))) {
    throw refuse(`GPU ${names} must be attested, but this image has no ${NVATTEST}`);
  }
  throw refuse(`GPU ${names} is attached and must be attested, which this version cannot do`);
}

const namesOf = (gpus: readonly Gpu[]): string => gpus.map(({ address }) => address).join(', ');

const refuse = (message: string): DstackError =>
  new DstackError('GPU_UNSUPPORTED', message, {
    path: HOST_SHARED.appCompose,
    field: 'requirements.gpu_policy.attest_gpu',
    value: true,
  });

/** Lets applications use the GPU in confidential mode; a GPU outside of it, or no driver, needs nothing. */
async function setReady(os: Os): Promise<void> {
  try {
    await os.run('nvidiaSmi', ['conf-compute', '-srs', '1'], { timeout: READY_TIMEOUT_MS });
  } catch (thrown) {
    ui.warn(`the ready state of the GPUs was not set: ${errorChain(thrown)}`);
  }
}
