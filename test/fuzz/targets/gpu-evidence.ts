/** What nvattest and opa print. Success may only come out of a document that says so for this nonce and this many GPUs. */
import { parseEvidence } from '../../../src/boot/setup/gpu-evidence.ts';
import { checkRegoOutput } from '../../../src/boot/setup/gpu-rego.ts';
import { JSON_WORDS, oneOf, utf8 } from '../select.ts';
import { type FuzzTarget, same } from '../target.ts';

export const NONCE = 'ab'.repeat(32);

const target: FuzzTarget = {
  limit: 4096,
  dictionary: [
    ...JSON_WORDS,
    '"result_code":0',
    '"claims":[{',
    `"eat_nonce":"${NONCE}"`,
    '"x-nvidia-device-type":"gpu"',
    '"x-nvidia-gpu-attestation-report-nonce-match":true',
    '"measres":"success"',
    '"secboot":true',
    '"dbgstat":"disabled"',
    '"result":[{"expressions":[{"value":true}]}]',
    '"value":true',
  ],
  run: oneOf(
    (bytes) => {
      const text = utf8(bytes);
      const { gpus } = parseEvidence(text, NONCE, 1);
      const document = JSON.parse(text) as { result_code: number; claims: Record<string, unknown>[] };
      same('result', document.result_code, 0);
      same('GPUs', [gpus.length, document.claims.length], [1, 1]);
      same('nonce', document.claims[0]?.['eat_nonce'], NONCE);
    },
    (bytes) => {
      const text = utf8(bytes);
      checkRegoOutput(text);
      if (!text.includes('true')) throw new Error('a policy that said nothing holds');
    },
  ),
};
export default target;
