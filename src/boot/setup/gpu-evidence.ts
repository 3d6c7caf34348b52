/**
 * What NVIDIA's attestation client says about the GPUs: `nvattest attest` takes evidence over a nonce of ours, judges it in
 * this guest and prints one JSON document: `claims` (an array, one a GPU), `detached_eat`, `result_code`, `result_message`;
 * after a failure `claims` is an empty object. Source: dstack boot order, GPU gate; NVIDIA attestation SDK, command
 * reference of nvattest and claims schema.
 */
import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import { Fields } from '../../config/fields.ts';
import { HOST_SHARED, PATHS } from '../../config/paths.ts';
import { parseStrictJson } from '../../config/strict-json.ts';
import { DstackError } from '../../errors.ts';
import { exists, makeDir, writeAtomic } from '../../sys/files.ts';
import type { BootMachine } from '../boot-machine.ts';

const TIMEOUT_MS = 300_000;
/** accepts cached answers of OCSP, whose own nonce is an older one; the nonce of the evidence stays mandatory */
const PROXY_POLICY = '/usr/share/nvattest/policies/allow_trust_outpost_ocsp.rego';
/** the status is judged after the output was saved: a failure is when somebody wants to read it */
const ANY_STATUS = Array.from({ length: 256 }, (_, status) => status);

/** What this program judges in the claims about one GPU. */
export interface GpuClaim {
  /** the measurements are those that NVIDIA has published */
  readonly measured: boolean;
  readonly secureBoot: boolean;
  readonly debug: boolean;
}

export interface GpuEvidence {
  /** as nvattest printed them: the input of a policy in rego */
  readonly claims: readonly unknown[];
  readonly gpus: readonly GpuClaim[];
  /** everything that nvattest printed */
  readonly output: string;
}

/**
 * Takes and checks evidence of all GPUs of NVIDIA, and keeps what was printed for GpuInfo.
 * @param count how many GPUs sysfs shows: evidence of fewer or more is refused
 * @param proxy base URL without a slash at its end, for reference measurements and OCSP
 * @throws GPU_NOT_ATTESTED, GPU_UNSUPPORTED (a proxy, and no policy for it), COMMAND_TIMEOUT, FILE_IO
 */
export async function takeEvidence(
  machine: BootMachine,
  count: number,
  proxy: string | undefined,
): Promise<GpuEvidence> {
  const nonce = randomBytes(32).toString('hex');
  const args = ['attest', '--device', 'gpu', '--verifier', 'local', '--nonce', nonce, '--format', 'json'];
  if (proxy !== undefined) {
    if (!(await exists(`${machine.root}${PROXY_POLICY}`))) {
      throw new DstackError('GPU_UNSUPPORTED', `nvidia_attestation_proxy_url needs ${PROXY_POLICY} in the image`, {
        path: PROXY_POLICY,
      });
    }
    args.push('--ocsp-url', `${proxy}/ocsp`, '--rim-url', proxy, '--relying-party-policy', PROXY_POLICY);
  }
  const { exit, stdout } = await machine.run('nvattest', args, { timeoutMs: TIMEOUT_MS, ok: ANY_STATUS });
  const saved = `${machine.root}${PATHS.gpuEvidence}`;
  await makeDir(dirname(saved), 0o700);
  await writeAtomic(saved, stdout, 0o600);
  if (exit !== 0) throw refuse(`nvattest failed with exit status ${exit}`);
  return parseEvidence(stdout, nonce, count);
}

/** @throws GPU_NOT_ATTESTED unless the result is success, about so many GPUs and over this nonce */
export function parseEvidence(output: string, nonce: string, count: number): GpuEvidence {
  if (output.includes('\ufffd')) throw refuse('nvattest printed bytes that are not text'); // what is hashed must be what it printed
  let document: unknown;
  try {
    document = parseStrictJson(output);
  } catch (thrown) {
    throw new DstackError('GPU_NOT_ATTESTED', 'nvattest did not print JSON', { cause: thrown });
  }
  const fields = new Fields(document, { code: 'GPU_NOT_ATTESTED' });
  if (fields.raw('result_code') !== 0) throw refuse(`nvattest says result_code ${String(fields.raw('result_code'))}`);
  const claims = fields.raw('claims');
  if (!Array.isArray(claims)) throw refuse('nvattest did not print an array of claims');
  if (claims.length !== count) throw refuse(`nvattest speaks of ${claims.length} GPUs, and ${count} are attached`);
  return { claims, gpus: claims.map((claim, index) => parseClaim(claim, index, nonce)), output };
}

function parseClaim(claim: unknown, index: number, nonce: string): GpuClaim {
  const fields = new Fields(claim, { code: 'GPU_NOT_ATTESTED' }, `claims[${index}]`);
  const demand = (name: string, wanted: unknown) => {
    if (fields.raw(name) !== wanted) throw refuse(`${fields.name(name)} is not ${JSON.stringify(wanted)}`);
  };
  const oneOf = <T>(name: string, ...allowed: readonly T[]): T => {
    const value = fields.raw(name) as T;
    if (!allowed.includes(value)) throw refuse(`${fields.name(name)} is not one of ${JSON.stringify(allowed)}`);
    return value;
  };
  demand('x-nvidia-device-type', 'gpu');
  demand('eat_nonce', nonce);
  demand('x-nvidia-gpu-attestation-report-nonce-match', true);
  const measres = fields.raw('measres');
  if (typeof measres !== 'string') throw refuse(`${fields.name('measres')} is not text`);
  return {
    measured: measres === 'success',
    secureBoot: oneOf('secboot', true, false),
    debug: oneOf('dbgstat', 'disabled', 'enabled') === 'enabled',
  };
}

const refuse = (message: string): DstackError => new DstackError('GPU_NOT_ATTESTED', message);

/**
 * The proxy of sys-config as a base URL, undefined without one: http or https with nothing but host and port, because
 * paths are appended to it. The host names it, so it can only fail the attestation, never pass one.
 * @throws DOCUMENT_INVALID
 */
export function proxyBase(configured: string | undefined): string | undefined {
  const text = configured?.trim() ?? '';
  if (text === '') return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const bare =
    url !== undefined &&
    /^https?:$/.test(url.protocol) &&
    url.pathname === '/' &&
    [url.username, url.password, url.search, url.hash].every((part) => part === '') &&
    !/[?#@\s]/.test(text);
  if (bare) return `${url.protocol}//${url.host}`;
  throw new DstackError('DOCUMENT_INVALID', 'field nvidia_attestation_proxy_url must be http(s)://host[:port]', {
    path: HOST_SHARED.sysConfig,
    field: 'nvidia_attestation_proxy_url',
    value: text,
  });
}
