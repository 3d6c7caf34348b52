import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bootBundles, GpuEvidenceCollector } from '../../../src/agent/services/gpu-evidence.ts';
import { rejection } from '../../failure.ts';

const NONCE = new Uint8Array(32).fill(0xab);
const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString('utf8');
const printed = (value: unknown) =>
  new GpuEvidenceCollector({ program: '/bin/true', collect: async () => JSON.stringify(value) });

describe('evidence of GPUs', () => {
  it('of the boot is exactly what was printed then, or nothing', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'gpu-')), 'attestation.out');
    expect(await bootBundles(file)).toEqual([]);
    const output = '{ "claims" : [1.0], "b":2 }\n';
    writeFileSync(file, output);
    const [bundle, ...more] = await bootBundles(file);
    expect(more).toEqual([]);
    expect({ ...bundle, evidence: text(bundle?.evidence) }).toEqual({
      vendor: 'nvidia',
      format: 'nvidia-nvattest-boottime-json-v1',
      evidence: output,
    });
  });

  it('is collected over the nonce of the caller', async () => {
    const asked: string[] = [];
    const gpus = new GpuEvidenceCollector({
      program: '/bin/true',
      collect: async (nonce) => {
        asked.push(nonce);
        return '{"result_code":0,"evidences":[{"arch":"HOPPER","evidence":"AA=="}],"result_message":"Ok"}';
      },
    });
    const [bundle] = await gpus.collect(NONCE);
    expect(asked).toEqual(['ab'.repeat(32)]);
    expect(bundle).toMatchObject({ vendor: 'nvidia', format: 'nvidia-nvattest-collect-evidence-json-v1' });
    expect(text(bundle?.evidence)).toBe('[{"arch":"HOPPER","evidence":"AA=="}]');
  });

  it('is collected for one caller at a time, and a failure does not stop the next', async () => {
    let running = 0;
    let most = 0;
    let round = 0;
    const gpus = new GpuEvidenceCollector({
      program: '/bin/true',
      collect: async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 5));
        running--;
        if (++round === 2) throw new Error('the driver was reloaded');
        return `{"result_code":0,"evidences":[${round}]}`;
      },
    });
    const answers = await Promise.allSettled(Array.from({ length: 4 }, () => gpus.collect(NONCE)));
    // whose turn comes second is not said: each caller looks for the program first
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected']);
    expect(most).toBe(1);
  });

  it('turns callers away before there are too many', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const gpus = new GpuEvidenceCollector({
      program: '/bin/true',
      collect: async () => {
        await gate;
        return '{"result_code":0,"evidences":[0]}';
      },
    });
    const waiting = Array.from({ length: 8 }, () => gpus.collect(NONCE));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await rejection(gpus.collect(NONCE))).toMatchObject({ code: 'RPC_BUSY' });
    release();
    await Promise.all(waiting);
    expect(await gpus.collect(NONCE)).toHaveLength(1);
  });

  it.each([
    [{ result_code: 1, evidences: [1] }, 'result_code 1'],
    [{ evidences: [1] }, 'result_code undefined'],
    [{ result_code: 0, evidences: [] }, 'no evidence'],
    [{ result_code: 0, evidences: {} }, 'no evidence'],
    [null, 'result_code undefined'],
  ])('refuses the answer %j', async (value, message) => {
    expect(await rejection(printed(value).collect(NONCE))).toMatchObject({
      code: 'GPU_NOT_ATTESTED',
      message: expect.stringContaining(message),
    });
  });
  it('refuses what is not JSON, and an image without the program', async () => {
    const noise = new GpuEvidenceCollector({ program: '/bin/true', collect: async () => 'Segmentation fault' });
    expect((await rejection(noise.collect(NONCE))).code).toBe('GPU_NOT_ATTESTED');
    expect((await rejection(new GpuEvidenceCollector({ program: '/nonexistent' }).collect(NONCE))).code).toBe(
      'GPU_UNSUPPORTED',
    );
  });
});
