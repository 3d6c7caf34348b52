/**
 * The GPU policy in rego, evaluated by the program `opa`: rule data.policy.nv_match, language version 0, input the claims
 * about the GPUs. What cannot be evaluated is not fulfilled. Source: dstack boot order, GPU gate.
 */
import * as fs from 'node:fs/promises';
import { HOST_SHARED } from '../../config/paths.ts';
import { isObject, parseStrictJson } from '../../config/strict-json.ts';
import { DstackError, findCause } from '../../errors.ts';
import { isDryRun } from '../../sys/effects.ts';
import * as ui from '../../ui.ts';
import type { BootMachine } from '../boot-machine.ts';

const RULE = 'data.policy.nv_match';
const TIMEOUT_MS = 10_000;
const FIELD = 'requirements.gpu_policy.rego';

/**
 * @param claims JSON values, one a GPU; empty without GPUs
 * @param dir existing folder for the policy while it is read
 * @throws GPU_UNSUPPORTED without opa, GPU_REFUSED when the policy does not agree or cannot be evaluated
 */
export async function checkRego(
  rego: string,
  claims: readonly unknown[],
  machine: BootMachine,
  dir: string,
): Promise<void> {
  if (isDryRun()) return ui.info(`a real run would evaluate ${FIELD} with opa`);
  const folder = await fs.mkdtemp(`${dir}/gpu-policy-`);
  try {
    const file = `${folder}/policy.rego`;
    await fs.writeFile(file, rego, { mode: 0o600 });
    checkRegoOutput(await evaluate(file, claims, machine));
  } finally {
    await fs.rm(folder, { recursive: true, force: true });
  }
}

async function evaluate(file: string, claims: readonly unknown[], machine: BootMachine): Promise<string> {
  const args = ['eval', '--format', 'json', '--data', file, '--stdin-input'];
  const options = { stdin: JSON.stringify(claims), timeoutMs: TIMEOUT_MS, code: 'GPU_REFUSED' } as const;
  try {
    return (await machine.run('opa', [...args, '--v0-compatible', RULE], options)).stdout;
  } catch (thrown) {
    if (findCause(thrown, 'COMMAND_NOT_FOUND') === undefined) throw thrown;
    throw new DstackError('GPU_UNSUPPORTED', 'a gpu policy in rego needs the program opa, which this image lacks', {
      path: HOST_SHARED.appCompose,
      field: FIELD,
      value: true,
      cause: thrown,
    });
  }
}

/** Exactly one result, and it is true. An undefined rule gives no result at all. */
export function checkRegoOutput(output: string): void {
  const refuse = (why: string) =>
    new DstackError('GPU_REFUSED', `the gpu policy ${why}`, { path: HOST_SHARED.appCompose, field: FIELD });
  let answer: unknown;
  try {
    answer = parseStrictJson(output);
  } catch (thrown) {
    throw new DstackError('GPU_REFUSED', 'opa did not print JSON', { field: FIELD, cause: thrown });
  }
  const results = isObject(answer) ? answer['result'] : undefined;
  if (!Array.isArray(results) || results.length === 0) throw refuse(`has no rule ${RULE}, or it does not hold`);
  const values = results.flatMap((one) =>
    isObject(one) && Array.isArray(one['expressions']) ? one['expressions'] : [one],
  );
  const [only, ...more] = values;
  if (more.length > 0 || !isObject(only) || only['value'] !== true) throw refuse(`does not agree: ${RULE} is not true`);
}
