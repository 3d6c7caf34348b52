import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkGpuGate, listGpus } from '../../src/boot/setup/gpu-gate.ts';
import { parseAppCompose } from '../../src/config/app-compose.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'pci-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function device(address: string, pciClass: string, vendor: string): Promise<string> {
  const dir = join(root, 'sys/bus/pci/devices', address);
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'class'), `${pciClass}\n`);
  await writeFile(join(dir, 'vendor'), `${vendor}\n`);
  return dir;
}

const app = (policy?: Record<string, unknown>) =>
  parseAppCompose(
    new TextEncoder().encode(
      JSON.stringify({
        manifest_version: '3',
        name: 'a',
        runner: 'bash',
        ...(policy === undefined ? {} : { requirements: { gpu_policy: policy } }),
      }),
    ),
  );

describe('the GPU gate', () => {
  it('is open on a machine without GPUs', async () => {
    await checkGpuGate(app(), root);
    await device('0000:00:01.0', '0x020000', '0x1af4'); // a network card
    await device('0000:00:02.0', '0x060000', '0x10de'); // a bridge of NVIDIA
    await checkGpuGate(app(), root);
  });

  it.each([
    ['a VGA controller', '0x030000', '0x1234'],
    ['a 3D controller of NVIDIA', '0x030200', '0x10de'],
  ])('is closed beside %s that nobody can attest', async (_, pciClass, vendor) => {
    await device('0000:01:00.0', pciClass, vendor);
    await expect(checkGpuGate(app(), root)).rejects.toMatchObject({
      code: 'GPU_UNSUPPORTED',
      field: 'requirements.gpu_policy.attest_gpu',
      message: expect.stringContaining('0000:01:00.0'),
    });
  });

  it('is open when the app wants no attestation', async () => {
    await device('0000:01:00.0', '0x030200', '0x10de');
    await checkGpuGate(app({ attest_gpu: false }), root);
  });

  it('does not take a policy it cannot evaluate for fulfilled', async () => {
    await expect(checkGpuGate(app({ attest_gpu: false, rego: 'package policy' }), root)).rejects.toMatchObject({
      code: 'GPU_UNSUPPORTED',
      field: 'requirements.gpu_policy.rego',
    });
  });

  it('fails on a device whose class cannot be read', async () => {
    const dir = await device('0000:01:00.0', '0x030200', '0x10de');
    await rm(join(dir, 'class'));
    await expect(listGpus(root)).rejects.toMatchObject({ code: 'FILE_IO', path: join(dir, 'class') });
  });
});
