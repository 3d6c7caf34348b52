/**
 * What the simulated TDX device shows of the system below the app: the measurements that a TDX host would have for an
 * image and a VM shape. The host computes them when it starts a machine and puts them on the share; nobody can check
 * there that this image was started, which is why it is a simulation.
 */
import { toHex } from '../src/codec/hex.ts';
import { Fields } from '../src/config/fields.ts';
import { parseStrictJsonBytes } from '../src/config/strict-json.ts';
import { DstackError } from '../src/errors.ts';
import { type ImageParts, predictFromImage, type VmShape } from '../src/os-image/os-image.ts';
import { MOCK_ACPI } from './mock-ccel.ts';
import { systemCcel } from './system-ccel.ts';

/** The file on the share. */
export const CLAIM_FILE = '.tdx-sim.json';
export const CLAIM_LIMIT = 256 * 1024;

export interface SystemClaim {
  /** 48 bytes */
  readonly mrtd: Uint8Array;
  /** boot event log, to which RTMR0 to RTMR2 replay */
  readonly ccel: Uint8Array;
}

/** The claim for an image and a VM shape. @throws FIRMWARE_INVALID, KERNEL_INVALID, VM_SHAPE_UNSUPPORTED */
export function claimOf(parts: ImageParts, shape: VmShape): SystemClaim {
  const prediction = predictFromImage(parts, shape, MOCK_ACPI);
  return { mrtd: prediction.mrtd.value, ccel: systemCcel(prediction) };
}

/** The file's text. */
export function formatClaim({ mrtd, ccel }: SystemClaim): string {
  return `${JSON.stringify({ mrtd: toHex(mrtd), ccel: Buffer.from(ccel).toString('base64') })}\n`;
}

/** @throws JSON_INVALID, DOCUMENT_INVALID */
export function parseClaim(bytes: Uint8Array): SystemClaim {
  const fields = new Fields(parseStrictJsonBytes(bytes, CLAIM_FILE), { path: CLAIM_FILE });
  const mrtd = fields.hex('mrtd');
  if (mrtd.length !== 48) fields.fail('mrtd', 'must have 48 bytes', toHex(mrtd));
  return { mrtd, ccel: new Uint8Array(Buffer.from(fields.string('ccel'), 'base64')) };
}

/** The parts of the machine that reading the claim needs; tests replace them. */
export interface ShareReader {
  mount(): Promise<void>;
  /** undefined when the file is missing */
  read(): Promise<Uint8Array | undefined>;
  unmount(): Promise<void>;
  pause(): Promise<void>;
}

const ATTEMPTS = 20;

/**
 * Reads the claim from the share. Disks may still be appearing when the device is set up, so a share that is missing is
 * looked for again.
 * @returns undefined when there is no share or no claim on it
 */
export async function readClaim(share: ShareReader): Promise<SystemClaim | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      await share.mount();
      break;
    } catch (thrown) {
      if (!(thrown instanceof DstackError) || thrown.code !== 'HOST_SHARE_MISSING') throw thrown;
      if (attempt === ATTEMPTS) return undefined;
      await share.pause();
    }
  }
  try {
    const bytes = await share.read();
    return bytes && parseClaim(bytes);
  } finally {
    await share.unmount();
  }
}
