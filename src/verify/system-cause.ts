/** Why a system measured something else than predicted: what can be shown is tried, the rest is said as likely. */
import { toHex } from '../codec/hex.ts';
import { predictFromDocument, type VmShape } from '../os-image/os-image.ts';
import { type Departure, knownAddition, typeName } from './firmware-layout.ts';
import type { ExpectedSystem, SystemReference } from './system-reference.ts';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
/** Sizes that a VM is likely to have, in bytes: tried one by one against the digest of its TD HOB. */
const LIKELY_MEMORY = [
  ...Array.from({ length: 15 }, (_, index) => (index + 1) * 256 * MIB),
  ...Array.from({ length: 1024 }, (_, index) => (index + 4) * GIB),
];

/** SHA-384 of the variable SecureBoot with one byte of content: 0 and 1. */
const SECURE_BOOT: Readonly<Record<string, string>> = {
  cfa4e2c606f572627bf06d5669cc2ab1128358d27b45bc63ee9ea56ec109cfafb7194006f847a6a74b5eaed6b73332ec: 'off',
  '2cded0c6f453d4c6f59c5e14ec61abc6b018314540a2367cba326a52aa2b315ccc08ce68a816ce09c6ef2ac7e514ae1f': 'on',
};

/** What usually changes an event, by its name in the prediction. */
const LIKELY: Readonly<Record<string, string>> = {
  'td-hob': 'another memory size than vm_config states, or another firmware',
  'configuration-volume': 'the firmware file has another variable store, for example with Secure Boot keys',
  SecureBoot: 'the variable store of the firmware is not empty',
  PK: 'the firmware has Secure Boot keys',
  KEK: 'the firmware has Secure Boot keys',
  db: 'the firmware has Secure Boot keys',
  dbx: 'the firmware has Secure Boot keys',
  BootOrder: 'another version of the firmware, or more boot devices',
  Boot0000: 'another version of the firmware',
  kernel:
    'another kernel, an initrd of another size, less memory than stated, or QEMU from 10.2.0 on, which leaves its header as built (from 10.0.0 on with firmware since edk2-stable202502)',
  'command-line': 'the host passed another kernel command line',
  initrd: 'another initrd',
};
const OTHER = 'the firmware took another way than with direct kernel boot';

/** One sentence for a departure of RTMR0, RTMR1 or RTMR2. @param register 0 to 2 */
export function causeOf(register: number, where: Departure, reference: SystemReference, shape: VmShape): string {
  const { kind, expected, found, index } = where;
  if (kind === 'added' && found !== undefined) {
    const known = knownAddition(register, index, found);
    if (known !== undefined) return known.because;
    return `no known firmware measures ${typeName(found.eventType)} there`;
  }
  if (kind === 'missing') return OTHER;
  const digest = found === undefined ? '' : toHex(found.digest);
  if (expected?.name === 'SecureBoot' && SECURE_BOOT[digest] !== undefined) {
    return `the firmware has the variable SecureBoot with the value ${SECURE_BOOT[digest]}; the predicted store has none`;
  }
  if (expected?.name === 'td-hob') {
    const size = memoryOf(digest, reference, shape);
    if (size !== undefined) return `the VM has ${sizeText(size)} of memory, ${sizeText(shape.memorySize)} is stated`;
  }
  if (expected?.name === 'kernel') {
    const shown = kernelCause(digest, reference, shape);
    if (shown !== undefined) return shown;
  }
  return LIKELY[expected?.name ?? ''] ?? OTHER;
}

/** The memory size whose TD HOB has this digest, if it is a likely one. */
function memoryOf(digest: string, { document }: SystemReference, shape: VmShape): number | undefined {
  if (document === undefined) return undefined;
  return LIKELY_MEMORY.find((memorySize) => {
    try {
      const first = predictFromDocument(document, { ...shape, memorySize }).rtmrs[0].events[0]?.digest;
      return first !== undefined && toHex(first) === digest;
    } catch {
      return false; // too small for the firmware
    }
  });
}

const sizeText = (bytes: number): string =>
  bytes % GIB === 0 ? `${bytes / GIB} GiB` : bytes % MIB === 0 ? `${bytes / MIB} MiB` : `${bytes} bytes`;

/** Why MRTD differs: the other order of adding pages is tried. */
export function mrtdCause(mrtd: string, reference: SystemReference, shape: VmShape): string {
  for (const twoPass of [true, false]) {
    const other = withShape(reference, { ...shape, qemuSinglePassAddPages: twoPass })?.mrtd;
    if (other === undefined || toHex(other) !== mrtd) continue;
    const how = twoPass ? 'in two passes, as QEMU 8 does' : 'in one pass, as QEMU from 9.0 on does';
    return `it is this firmware, but its pages were added ${how}: ${shape.qemuVersion ?? 'no version'} is stated`;
  }
  return 'another firmware file, or another version of it';
}

/** QEMU changes the kernel's header or leaves it alone, by its version: both are tried where the kernel is at hand. */
function kernelCause(digest: string, reference: SystemReference, shape: VmShape): string | undefined {
  if (reference.kind !== 'image') return undefined;
  for (const [qemuVersion, how] of [
    [
      '10.2.0',
      'as it was built, as QEMU from 10.2.0 on hands it over, and from 10.0.0 on to firmware since edk2-stable202502',
    ],
    ['10.1.0', 'with the header that QEMU before 10.2.0 writes'],
  ] as const) {
    const other = withShape(reference, { ...shape, qemuVersion })?.registers[1]?.events[0]?.digest;
    if (other !== undefined && toHex(other) === digest) {
      return `it is this kernel, ${how}: ${shape.qemuVersion ?? 'no version'} is stated`;
    }
  }
  return undefined;
}

/** What another shape would give; undefined where such a VM could not have started. */
function withShape({ expected }: SystemReference, shape: VmShape): ExpectedSystem | undefined {
  try {
    return expected(shape, undefined);
  } catch {
    return undefined;
  }
}
