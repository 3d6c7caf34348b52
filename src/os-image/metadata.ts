/** `metadata.json` of an image folder: which file is what, and the kernel command line (os-image, section 1). */

import { fromHex } from '../codec/hex.ts';
import { Fields } from '../config/fields.ts';
import { parseStrictJsonBytes } from '../config/strict-json.ts';

export const METADATA_FILE = 'metadata.json';
/** Largest document in bytes. */
export const METADATA_LIMIT = 65_536;

export interface ImageMetadata {
  /** names of files in the folder, never paths */
  readonly bios: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly rootfs?: string;
  readonly hda?: string;
  readonly biosSev?: string;
  /** as the VMM passes it, without the suffix that the firmware adds for the initrd */
  readonly cmdline: string;
  /** 32 bytes, the `dstack.rootfs_hash` of the command line */
  readonly rootfsHash: Uint8Array;
  readonly sharedRo: boolean;
  readonly version: string;
  readonly isDev: boolean;
  /** how the firmware measures; absent is taken for the only layout the platform knows */
  readonly ovmfVariant?: 'pre202505';
}

/**
 * Reads the document. Unknown fields are ignored: newer images may have more.
 * @throws JSON_INVALID, DOCUMENT_INVALID naming the field: also for a command line without `dstack.rootfs_hash`, to which
 * the platform refuses a measurement
 */
export function readImageMetadata(bytes: Uint8Array, path: string = METADATA_FILE): ImageMetadata {
  const fields = new Fields(parseStrictJsonBytes(bytes, path), { path });
  const cmdline = fields.string('cmdline');
  const version = fields.optionalString('version') ?? '';
  if (version !== '' && !/^\d+\.\d+\.\d+(\.[^.\s]+)?$/.test(version)) {
    fields.fail('version', 'must be MAJOR.MINOR.PATCH with an optional fourth part', version);
  }
  const ovmfVariant = fields.optionalString('ovmf_variant');
  if (ovmfVariant !== undefined && ovmfVariant !== 'pre202505') {
    fields.fail('ovmf_variant', 'is not known: must be pre202505', ovmfVariant);
  }
  return {
    bios: fileName(fields, 'bios'),
    kernel: fileName(fields, 'kernel'),
    initrd: fileName(fields, 'initrd'),
    ...optionalName(fields, 'rootfs', 'rootfs'),
    ...optionalName(fields, 'hda', 'hda'),
    ...optionalName(fields, 'biosSev', 'bios-sev'),
    cmdline,
    rootfsHash: rootfsHash(fields, cmdline),
    sharedRo: fields.boolean('shared_ro', false),
    version,
    isDev: fields.boolean('is_dev', false),
    ...(ovmfVariant === undefined ? {} : { ovmfVariant: 'pre202505' as const }),
  };
}

function optionalName<K extends string>(fields: Fields, key: K, field: string): { [P in K]?: string } {
  if (fields.optionalString(field) === undefined) return {};
  return { [key]: fileName(fields, field) } as { [P in K]?: string };
}

/** A name inside the folder: the document is hostile until it is checked and must not lead elsewhere. */
function fileName(fields: Fields, field: string): string {
  const name = fields.string(field);
  if (!isFileName(name)) fields.fail(field, 'must be the name of a file in the image folder', name);
  return name;
}

/** Whether a text is a plain file name: no folder, no control character, no leading dot. */
export const isFileName = (name: string): boolean =>
  name.length <= 255 && /^[^./\\][^/\\]*$/u.test(name) && !/\p{Cc}/u.test(name);

/** The first `dstack.rootfs_hash` decides, as in the platform; the separate field must not contradict it. */
function rootfsHash(fields: Fields, cmdline: string): Uint8Array {
  const word = cmdline.split(/\s+/).find((part) => part.startsWith('dstack.rootfs_hash='));
  const digits = word?.slice('dstack.rootfs_hash='.length) ?? '';
  if (!/^[0-9a-fA-F]{64}$/.test(digits)) {
    fields.fail('cmdline', 'must contain dstack.rootfs_hash=<64 hex digits>', cmdline);
  }
  const stated = fields.optionalString('rootfs_hash');
  if (stated !== undefined && stated !== '' && stated.toLowerCase() !== digits.toLowerCase()) {
    fields.fail('rootfs_hash', 'contradicts dstack.rootfs_hash of the command line', stated);
  }
  return fromHex(digits);
}
