/** The GPUs on the PCI bus, from sysfs: the only place the guest needs no driver for. */
import * as fs from 'node:fs/promises';
import { DstackError } from '../../errors.ts';
import { ifExists } from '../../sys/files.ts';

const PCI_DEVICES = '/sys/bus/pci/devices';
/** VGA and 3D controllers */
const GPU_CLASSES = ['0x0300', '0x0302'];
const NVIDIA = '0x10de';

export interface Gpu {
  /** PCI address, e.g. 0000:01:00.0 */
  readonly address: string;
  readonly nvidia: boolean;
}

/** All GPUs on the PCI bus. An attribute that cannot be read is an error: a hidden GPU must not pass. @throws FILE_IO */
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
