import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BootMachine } from '../../src/boot/boot-machine.ts';
import { checkGpuGate } from '../../src/boot/setup/gpu-gate.ts';
import { listGpus } from '../../src/boot/setup/gpu-inventory.ts';
import { parseAppCompose } from '../../src/config/app-compose.ts';
import { DstackError } from '../../src/errors.ts';
import { run } from '../../src/sys/exec.ts';

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

/** What is outside of the gate, with what it saw in the end. */
function dependencies(machine: BootMachine) {
  const [told, measured]: [string[], [string, string][]] = [[], []];
  const gate = {
    machine,
    dir: root,
    progress: (text: string) => void told.push(text),
    measureText: async (name: string, value: string) => void measured.push([name, value]),
  };
  return { told, measured, gate };
}

/** A machine with these PCI devices; `opa` answers with this text, or is not there. */
function gate(policy?: Record<string, unknown>, opa?: string) {
  const ran: string[] = [];
  const machine: BootMachine = {
    root,
    mountAt: async () => undefined,
    bindMount: () => Promise.reject(new Error('nothing is mounted here')),
    run: async (program, args) => {
      ran.push([program, ...args].join(' '));
      if (program === 'opa' && opa !== undefined) return { exit: 0, stdout: opa, stderr: '' };
      throw new DstackError('COMMAND_NOT_FOUND', `program ${program} is not installed`);
    },
  };
  return { machine, ran, pass: () => checkGpuGate(app(policy), dependencies(machine).gate) };
}
const TRUE = '{"result":[{"expressions":[{"value":true,"text":"data.policy.nv_match"}]}]}';

describe('the GPU gate', () => {
  it('is open on a machine without GPUs', async () => {
    await gate().pass();
    await device('0000:00:01.0', '0x020000', '0x1af4'); // a network card
    await device('0000:00:02.0', '0x060000', '0x10de'); // a bridge of NVIDIA
    await gate().pass();
  });

  it.each([
    ['a VGA controller of somebody', '0x030000', '0x1234', 'not made by NVIDIA'],
    ['a 3D controller of NVIDIA without nvattest', '0x030200', '0x10de', 'no /usr/bin/nvattest'],
  ])('is closed beside %s', async (_, pciClass, vendor, why) => {
    await device('0000:01:00.0', pciClass, vendor);
    await expect(gate().pass()).rejects.toMatchObject({
      code: 'GPU_UNSUPPORTED',
      field: 'requirements.gpu_policy.attest_gpu',
      message: expect.stringMatching(new RegExp(`0000:01:00.0.*${why}`)),
    });
  });

  it('is open when the app wants no attestation, and makes the GPU ready if it can', async () => {
    await device('0000:01:00.0', '0x030200', '0x10de');
    const { ran, pass } = gate({ attest_gpu: false });
    await pass();
    expect(ran).toEqual(['nvidiaSmi conf-compute -srs 1']);
  });

  it('does not take a policy in rego for fulfilled when there is no opa', async () => {
    for (const attest_gpu of [true, false]) {
      await expect(gate({ attest_gpu, rego: 'package policy' }).pass()).rejects.toMatchObject({
        code: 'GPU_UNSUPPORTED',
        field: 'requirements.gpu_policy.rego',
        message: expect.stringContaining('opa'),
      });
    }
  });

  it.each([
    ['agrees', TRUE, 'accepted'],
    ['says false', TRUE.replace('true', 'false'), 'GPU_REFUSED'],
    ['says a text', TRUE.replace('true', '"true"'), 'GPU_REFUSED'],
    ['has no such rule', '{}', 'GPU_REFUSED'],
    ['gives several answers', TRUE.replace('[{"exp', '[{},{"exp'), 'GPU_REFUSED'],
    ['is not JSON', 'true', 'GPU_REFUSED'],
    ['breaks off', TRUE.slice(0, -1), 'GPU_REFUSED'],
  ])('asks opa for the policy: it %s', async (_, output, expected) => {
    const { ran, pass } = gate({ rego: 'package policy' }, output);
    const outcome = await pass().then(
      () => 'accepted',
      (thrown: DstackError) => thrown.code,
    );
    expect(outcome).toBe(expected);
    expect(ran[0]).toMatch(/^opa eval .*--v0-compatible data\.policy\.nv_match$/);
    expect(await readdir(root)).toEqual([]); // the policy file is gone
  });

  const opa = spawnSync('opa', ['version']).status === 0;
  it.skipIf(!opa)(`asks the real opa (${opa ? 'checked here' : 'opa is not installed'})`, async () => {
    const real = (rego: string) => checkGpuGate(app({ rego }), dependencies({ ...gate().machine, run }).gate);
    await real('package policy\ndefault nv_match = false\nnv_match { count(input) == 0 }');
    await expect(real('package policy\nnv_match { count(input) == 1 }')).rejects.toMatchObject({ code: 'GPU_REFUSED' });
    await expect(real('package policy\nnv_match {')).rejects.toMatchObject({ code: 'GPU_REFUSED' });
  });

  it('fails on a device whose class cannot be read', async () => {
    const dir = await device('0000:01:00.0', '0x030200', '0x10de');
    await rm(join(dir, 'class'));
    await expect(listGpus(root)).rejects.toMatchObject({ code: 'FILE_IO', path: join(dir, 'class') });
  });
});
