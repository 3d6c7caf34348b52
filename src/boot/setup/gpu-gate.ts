/**
 * The GPU gate. This version cannot attest GPUs, so it fails closed: an app that demands attested GPUs does not start
 * beside a GPU, and a policy in rego, which nothing here can evaluate, is not assumed to agree (dstack boot order, GPU gate).
 */
import * as fs from 'node:fs/promises';
import type { AppCompose } from '../../config/app-compose.ts';
import { HOST_SHARED } from '../../config/paths.ts';
import { DstackError } from '../../errors.ts';
import { ifExists } from '../../sys/files.ts';
import * as ui from '../../ui.ts';

const PCI_DEVICES = '/sys/bus/pci/devices';
/** VGA and 3D controllers */
const GPU_CLASSES = ['0x0300', '0x0302'];
const NVIDIA = '0x10de';

export interface Gpu {
  /** PCI address, e.g. 0000:01:00.0 */
  readonly address: string;
  readonly nvidia: boolean;
}

/** All GPUs on the PCI bus. An attribute that cannot be read is an error: a hidden GPU must not pass. */
export async function listGpus(root = ''): Promise<Gpu[]> {
  const dir = `${root}${PCI_DEVICES}`;
  const addresses = (await ifExists(() => fs.readdir(dir))) ?? [];
  const gpus: Gpu[] = [];
  for (const address of addresses.sort()) {
    const attribute = (name: string) => readAttribute(`${dir}/${address}/${name}`);
    const pciClass = await attribute('class');
    if (!GPU_CLASSES.some((prefix) => pciClass.startsWith(prefix))) continue;
    gpus.push({ address, nvidia: (await attribute('vendor')) === NVIDIA });
  }
  return gpus;
}

async function readAttribute(path: string): Promise<string> {
  try {
    return (await fs.readFile(path, 'utf8')).trim();
  } catch (thrown) {
    throw new DstackError('FILE_IO', `PCI attribute ${path} cannot be read`, { path, cause: thrown });
  }
}

/** @throws GPU_UNSUPPORTED when the policy needs an evidence that this version cannot produce */
export async function checkGpuGate(compose: AppCompose, root = ''): Promise<void> {
  const policy = compose.requirements?.gpuPolicy;
  const refuse = (message: string, field: string, value: string | boolean) =>
    new DstackError('GPU_UNSUPPORTED', message, { path: HOST_SHARED.appCompose, field, value });
  if (policy?.rego !== undefined) {
    throw refuse('gpu policy in rego cannot be evaluated by this version', 'requirements.gpu_policy.rego', true);
  }
  const gpus = await listGpus(root);
  if (gpus.length === 0) return;
  const names = gpus.map(({ address }) => address).join(', ');
  if (policy?.attestGpu ?? true) {
    throw refuse(
      `GPU ${names} is attached and must be attested, which this version cannot do`,
      'requirements.gpu_policy.attest_gpu',
      true,
    );
  }
  ui.warn(`GPU ${names} is attached and used without attestation, as attest_gpu is false`);
}
