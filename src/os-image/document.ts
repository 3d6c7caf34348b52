/** `measurement.tdx.cbor`: what a verifier needs of an image instead of the image (os-image, section 6). */

import { sameBytes } from '../codec/bytes.ts';
import { type CborMap, type CborValue, decodeCbor, encodeCbor } from '../codec/cbor.ts';
import { toHex } from '../codec/hex.ts';
import type { BoundMeasurement } from '../config/vm-config.ts';
import { sha256 } from '../crypto/hash.ts';
import { DstackError } from '../errors.ts';
import { osImageHash, parseChecksumFile } from './checksum-file.ts';
import { type MemoryLayout, readWitness, writeWitness } from './memory-layout.ts';

export const MEASUREMENT_FILE = 'measurement.tdx.cbor';
/** Largest document in bytes; real ones have about 400. */
export const MEASUREMENT_LIMIT = 65_536;
const VERSION = 3;
const DIGEST_SIZE = 48;

/** All digests are SHA-384, 48 bytes. */
export interface MeasurementDocument {
  /** of the command line with the initrd suffix, as UTF-16LE */
  readonly cmdline: Uint8Array;
  /** Authenticode of the kernel as QEMU patches it for 2 GiB of memory or for 0xb0000000 bytes and more */
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  readonly ovmfVariant: 'pre202505';
  readonly mrtd: { readonly singlePass: Uint8Array; readonly twoPass: Uint8Array };
  /** for the TD HOB of any memory size */
  readonly memory: MemoryLayout;
}

/** The bytes, one form for one document. */
export function writeMeasurementDocument(document: MeasurementDocument): Uint8Array {
  const map = (entries: Record<string, CborValue>): CborMap => new Map(Object.entries(entries));
  return encodeCbor(
    map({
      version: VERSION,
      image: map({
        cmdline_sha384: document.cmdline,
        kernel_authenticode: document.kernel,
        initrd_sha384: document.initrd,
      }),
      tdvf: map({
        ovmf: document.ovmfVariant,
        mrtd: map({ single_pass: document.mrtd.singlePass, two_pass: document.mrtd.twoPass }),
        td_hob: writeWitness(document.memory),
      }),
    }),
  );
}

/** Reads the bytes strictly. @throws IMAGE_MEASUREMENT_INVALID naming the field */
export function readMeasurementDocument(bytes: Uint8Array, path: string = MEASUREMENT_FILE): MeasurementDocument {
  if (bytes.length > MEASUREMENT_LIMIT) throw invalid(path, 'document', `has more than ${MEASUREMENT_LIMIT} bytes`);
  let value: CborValue;
  try {
    value = decodeCbor(bytes);
  } catch (thrown) {
    throw invalid(path, 'document', `is not CBOR in its one form: ${(thrown as Error).message}`, thrown);
  }
  const root = new Reader(path, '', value, ['version', 'image', 'tdvf']);
  const version = root.value('version');
  if (version !== VERSION) throw invalid(path, 'version', `is ${String(version)}, not ${VERSION}`);
  const image = root.map('image', ['cmdline_sha384', 'kernel_authenticode', 'initrd_sha384']);
  const tdvf = root.map('tdvf', ['ovmf', 'mrtd', 'td_hob']);
  const mrtd = tdvf.map('mrtd', ['single_pass', 'two_pass']);
  const ovmf = tdvf.value('ovmf');
  if (ovmf !== 'pre202505') throw invalid(path, 'tdvf.ovmf', 'is a firmware layout that is not known');
  return {
    cmdline: image.digest('cmdline_sha384'),
    kernel: image.digest('kernel_authenticode'),
    initrd: image.digest('initrd_sha384'),
    ovmfVariant: ovmf,
    mrtd: { singlePass: mrtd.digest('single_pass'), twoPass: mrtd.digest('two_pass') },
    memory: readWitness(tdvf.bytes('td_hob'), (why) => invalid(path, 'tdvf.td_hob', why)),
  };
}

/**
 * The document of `vm_config.tdx_measurement` or of an image folder, and the identity it belongs to: the checksum file
 * has its SHA-256.
 * @returns the document and the os_image_hash (32 bytes), which the caller compares with the one it trusts
 * @throws IMAGE_MEASUREMENT_INVALID, DOCUMENT_INVALID (checksum file)
 */
export function readBoundMeasurement(bound: BoundMeasurement): {
  readonly document: MeasurementDocument;
  readonly osImageHash: Uint8Array;
} {
  const stated = parseChecksumFile(bound.checksumFile).get(MEASUREMENT_FILE);
  const found = sha256(bound.measurement);
  if (stated === undefined) throw invalid(MEASUREMENT_FILE, 'document', 'is not named in the checksum file');
  if (!sameBytes(found, stated)) {
    throw invalid(MEASUREMENT_FILE, 'document', `has SHA-256 ${toHex(found)}, the checksum file says ${toHex(stated)}`);
  }
  return { document: readMeasurementDocument(bound.measurement), osImageHash: osImageHash(bound.checksumFile) };
}

function invalid(path: string, field: string, why: string, cause?: unknown): DstackError {
  return new DstackError('IMAGE_MEASUREMENT_INVALID', `${path}: ${field} ${why}`, { path, field, cause });
}

/** A map of which exactly these keys are expected. */
class Reader {
  readonly #path: string;
  readonly #name: string;
  readonly #map: CborMap;

  constructor(path: string, name: string, value: CborValue | undefined, keys: readonly string[]) {
    if (!(value instanceof Map)) throw invalid(path, name || 'document', 'is not a map');
    this.#path = path;
    this.#name = name;
    this.#map = value as CborMap;
    for (const key of this.#map.keys()) {
      if (!keys.includes(key)) throw invalid(path, name || 'document', `has an unknown key ${JSON.stringify(key)}`);
    }
    for (const key of keys) if (!this.#map.has(key)) throw invalid(path, this.#field(key), 'is missing');
  }

  #field(key: string): string {
    return this.#name === '' ? key : `${this.#name}.${key}`;
  }

  value(key: string): CborValue | undefined {
    return this.#map.get(key);
  }

  map(key: string, keys: readonly string[]): Reader {
    return new Reader(this.#path, this.#field(key), this.value(key), keys);
  }

  bytes(key: string): Uint8Array {
    const value = this.value(key);
    if (!(value instanceof Uint8Array)) throw invalid(this.#path, this.#field(key), 'is not a byte string');
    return value;
  }

  digest(key: string): Uint8Array {
    const value = this.bytes(key);
    if (value.length !== DIGEST_SIZE) {
      throw invalid(this.#path, this.#field(key), `has ${value.length} bytes, not ${DIGEST_SIZE}`);
    }
    return value;
  }
}
