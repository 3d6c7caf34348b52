/**
 * Evidence of GPUs for the app: what the boot kept, and fresh evidence over a nonce of the caller. Both are vendor-native
 * bytes for a verifier of the vendor; neither binds a GPU to this guest. Source: dstack guest API v1, GPU evidence; NVIDIA
 * attestation SDK, command reference of nvattest (`collect-evidence`: `evidences`, `result_code`).
 */
import type { Message } from '../../codec/prpc-messages.ts';
import { PATHS } from '../../config/paths.ts';
import { DstackError } from '../../errors.ts';
import { run } from '../../sys/exec.ts';
import { exists, ifExists, readLimited } from '../../sys/files.ts';

type Bundle = Message<'GpuEvidenceBundle'>;

const VENDOR = 'nvidia';
const BOOT_FORMAT = 'nvidia-nvattest-boottime-json-v1';
const FRESH_FORMAT = 'nvidia-nvattest-collect-evidence-json-v1';
export const NONCE_BYTES = 32;
const BOOT_LIMIT = 16 * 1024 * 1024;
const COLLECT_TIMEOUT_MS = 120_000;
/** callers that may wait for their turn; each turn can take two minutes */
const LONGEST_QUEUE = 8;

/** Exactly the bytes that nvattest printed in this boot, undefined if no GPU was attested. @throws FILE_IO, FILE_TOO_LARGE */
export const bootEvidence = (path: string = PATHS.gpuEvidence): Promise<Uint8Array | undefined> =>
  ifExists(() => readLimited(path, BOOT_LIMIT));

/** The evidence of the boot as bundles: one, or none. */
export async function bootBundles(path?: string): Promise<Bundle[]> {
  const evidence = await bootEvidence(path);
  return evidence === undefined ? [] : [{ vendor: VENDOR, format: BOOT_FORMAT, evidence }];
}

export interface Collector {
  /** NVIDIA's attestation client */
  readonly program?: string;
  readonly collect?: (nonce: string) => Promise<string>;
}

const collectWithNvattest = async (nonce: string): Promise<string> => {
  const args = ['collect-evidence', '--device', 'gpu', '--nonce', nonce, '--format', 'json'];
  return (await run('nvattest', args, { timeoutMs: COLLECT_TIMEOUT_MS })).stdout;
};

/**
 * Collects fresh evidence, one caller after the other: each has a nonce of its own, and the devices are the same.
 * @throws RPC_REQUEST_INVALID (nonce), GPU_UNSUPPORTED (no nvattest in this image), GPU_NOT_ATTESTED, RPC_BUSY, COMMAND_*
 */
export class GpuEvidenceCollector {
  readonly #program: string;
  readonly #collect: (nonce: string) => Promise<string>;
  #last: Promise<unknown> = Promise.resolve();
  #queued = 0;

  constructor({ program = PATHS.nvattest, collect = collectWithNvattest }: Collector = {}) {
    this.#program = program;
    this.#collect = collect;
  }

  async collect(nonce: Uint8Array): Promise<Bundle[]> {
    if (nonce.length !== NONCE_BYTES) {
      throw new DstackError('RPC_REQUEST_INVALID', `nonce must be exactly 32 bytes, found ${nonce.length}`, {
        field: 'nonce',
        value: nonce.length,
      });
    }
    if (!(await exists(this.#program))) {
      throw new DstackError('GPU_UNSUPPORTED', 'GPU attestation is not available in this image', {
        path: this.#program,
      });
    }
    if (this.#queued >= LONGEST_QUEUE)
      throw new DstackError('RPC_BUSY', `${LONGEST_QUEUE} callers wait for evidence of the GPUs`);
    this.#queued++;
    const turn = this.#last.then(() => this.#collect(Buffer.from(nonce).toString('hex')));
    this.#last = turn.catch(() => {});
    try {
      return [{ vendor: VENDOR, format: FRESH_FORMAT, evidence: evidencesOf(await turn) }];
    } finally {
      this.#queued--;
    }
  }
}

/** The list of evidences alone, as `nvattest attest --gpu-evidence-source=file` and verifiers elsewhere read it. */
function evidencesOf(output: string): Uint8Array {
  const failed = (message: string, cause?: unknown) => new DstackError('GPU_NOT_ATTESTED', message, { cause });
  let document: { readonly result_code?: unknown; readonly evidences?: unknown } | null;
  try {
    document = JSON.parse(output);
  } catch (thrown) {
    throw failed('nvattest did not print JSON', thrown);
  }
  if (document?.result_code !== 0) throw failed(`nvattest says result_code ${String(document?.result_code)}`);
  const { evidences } = document;
  if (!Array.isArray(evidences) || evidences.length === 0) throw failed('nvattest collected no evidence of a GPU');
  return new TextEncoder().encode(JSON.stringify(evidences));
}
