/** MRTD and RTMR0 to RTMR2 of a system, from its image or from its measurement document (os-image, sections 3 to 6). */

import { sameBytes } from '../codec/bytes.ts';
import { fromHex } from '../codec/hex.ts';
import { sha384 } from '../crypto/hash.ts';
import { DstackError } from '../errors.ts';
import { extend } from '../tdx/events.ts';
import { REGISTER_SIZE } from '../tdx/replay.ts';
import type { MeasurementDocument } from './document.ts';
import { ascii, emptyVariable, GLOBAL_VARIABLE, IMAGE_SECURITY, setupBootOption, utf16 } from './efi.ts';
import { patchKernel } from './kernel-patch.ts';
import type { MemoryLayout } from './memory-layout.ts';
import type { ImageMetadata } from './metadata.ts';
import { computeMrtd } from './mrtd.ts';
import { type Authenticode, authenticode } from './pe.ts';
import type {
  AcpiDigests,
  Influence,
  RegisterPrediction,
  SystemEvent,
  SystemEventName,
  SystemPrediction,
  SystemRegister,
} from './prediction.ts';
import { DEFAULT_QEMU_VERSION, leavesKernelAsBuilt, offersKernelAsBuilt, pageOrder, type VmShape } from './shape.ts';
import { buildTdHob, LOW_MEMORY, LOW_MEMORY_SPLIT } from './td-hob.ts';
import { configurationVolume, memoryLayoutOf, parseTdvf } from './tdvf.ts';
import { isEmptyVariableStore } from './variable-store.ts';

/** The parts of an image that are measured. */
export interface ImageParts {
  readonly metadata: ImageMetadata;
  readonly firmware: Uint8Array;
  readonly kernel: Uint8Array;
  /** the file's size in bytes and SHA-384 (48 bytes) */
  readonly initrd: { readonly size: number; readonly sha384: Uint8Array };
}

/** SHA-384 of the configuration volume with the empty variable store of the platform's own firmware. */
const EMPTY_STORE = fromHex(
  '344bc51c980ba621aaa00da3ed7436f7d6e549197dfe699515dfa2c6583d95e6412af21c097d473155875ffd561d6790',
);

/** TCG event types (PC Client firmware profile, table 14) of what the firmware logs. */
const TYPE = {
  separator: 0x04,
  acpi: 0x0a,
  tagged: 0x06,
  variable: 0x8000_0001,
  bootVariable: 0x8000_0002,
  application: 0x8000_0003,
  action: 0x8000_0007,
  firmwareBlob: 0x8000_000a,
  handoffTables: 0x8000_000b,
} as const;

/** What differs between an image and its document; everything else follows from the shape. */
interface Measured {
  readonly mrtd: Uint8Array;
  readonly memory: MemoryLayout;
  readonly configuration: Uint8Array;
  /** the variable store is empty */
  readonly noVariables: boolean;
  readonly kernel: Uint8Array | undefined;
  readonly cmdline: Uint8Array;
  readonly initrd: Uint8Array;
}

/**
 * From the image itself, for any memory size. The kernel is taken as the stated QEMU hands it over.
 * @param acpi digests of the event log, without which RTMR0 stays unknown
 * @throws FIRMWARE_INVALID, KERNEL_INVALID, VM_SHAPE_UNSUPPORTED
 */
export function predictFromImage(parts: ImageParts, shape: VmShape, acpi?: AcpiDigests): SystemPrediction {
  const order = pageOrder(shape);
  const sections = parseTdvf(parts.firmware);
  const volume = configurationVolume(sections);
  const kernel = leavesKernelAsBuilt(shape) ? authenticodeOf(parts.kernel) : kernelDigest(parts, shape.memorySize);
  const assumed = assumptions(shape);
  if (kernel.doubt !== undefined) {
    assumed.push(`${kernel.doubt}: the firmware is taken to measure it as the platform does`);
  }
  return predict(
    {
      mrtd: computeMrtd(sections, order),
      memory: memoryLayoutOf(sections),
      configuration: sha384(volume),
      noVariables: isEmptyVariableStore(volume),
      kernel: kernel.digest,
      cmdline: cmdlineDigest(parts.metadata),
      initrd: parts.initrd.sha384,
    },
    shape,
    acpi,
    assumed,
  );
}

/**
 * From the short document, which holds the kernel's digest for one memory layout only: with other memory RTMR1 stays
 * unknown.
 * @throws VM_SHAPE_UNSUPPORTED
 */
export function predictFromDocument(
  document: MeasurementDocument,
  shape: VmShape,
  acpi?: AcpiDigests,
): SystemPrediction {
  const { memorySize } = shape;
  const { mrtd, memory, cmdline, initrd } = document;
  return predict(
    {
      mrtd: pageOrder(shape) === 'two-pass' ? mrtd.twoPass : mrtd.singlePass,
      memory,
      configuration: EMPTY_STORE,
      noVariables: true,
      kernel: memorySize === LOW_MEMORY || memorySize >= LOW_MEMORY_SPLIT ? document.kernel : undefined,
      cmdline,
      initrd,
    },
    shape,
    acpi,
    [
      ...assumptions(shape),
      'the variable store of the firmware is the platform’s empty one',
      ...(leavesKernelAsBuilt(shape)
        ? ['the kernel was built with the setup header that QEMU before 10.2.0 writes']
        : []),
    ],
  );
}

/**
 * Whether the platform can judge a machine with this firmware: a document stands for one variable store only, the empty
 * one. @throws FIRMWARE_INVALID
 */
export function checkPlatformFirmware(firmware: Uint8Array): void {
  const sections = parseTdvf(firmware);
  memoryLayoutOf(sections);
  if (sameBytes(sha384(configurationVolume(sections)), EMPTY_STORE)) return;
  throw new DstackError(
    'FIRMWARE_INVALID',
    'TDX firmware: its configuration volume is not the empty one, which every measurement document stands for',
  );
}

/** The document of an image; `checkPlatformFirmware` says whether it leads to the registers of a real machine. @throws FIRMWARE_INVALID, KERNEL_INVALID */
export function documentOfImage(parts: ImageParts): MeasurementDocument {
  const sections = parseTdvf(parts.firmware);
  return {
    cmdline: cmdlineDigest(parts.metadata),
    kernel: kernelDigest(parts, LOW_MEMORY_SPLIT).digest,
    initrd: parts.initrd.sha384,
    ovmfVariant: 'pre202505',
    mrtd: { singlePass: computeMrtd(sections, 'single-pass'), twoPass: computeMrtd(sections, 'two-pass') },
    memory: memoryLayoutOf(sections),
  };
}

/** The firmware adds the name under which it offers the initrd, and measures text of two bytes a character. */
const cmdlineDigest = ({ cmdline }: ImageMetadata): Uint8Array => sha384(utf16(`${cmdline} initrd=initrd\0`));

const authenticodeOf = (kernel: Uint8Array): Authenticode =>
  authenticode(kernel, (why) => new DstackError('KERNEL_INVALID', `kernel: ${why}`));

/** As QEMU before 10.2.0 changes it. */
const kernelDigest = ({ kernel, initrd }: ImageParts, memorySize: number): Authenticode =>
  authenticodeOf(patchKernel(kernel, initrd.size, memorySize));

function assumptions(shape: VmShape): string[] {
  const assumed = ['the firmware measures as OVMF did before edk2-stable202505'];
  if (shape.qemuVersion === undefined) assumed.push(`QEMU is ${DEFAULT_QEMU_VERSION}`);
  if (offersKernelAsBuilt(shape) && !leavesKernelAsBuilt(shape)) {
    assumed.push('the firmware takes the kernel as QEMU changes it: since edk2-stable202502 it takes it as built');
  }
  return assumed;
}

function predict(
  measured: Measured,
  shape: VmShape,
  acpi: AcpiDigests | undefined,
  assumed: readonly string[],
): SystemPrediction {
  const rtmrs = [
    registerOf(bootEvents(measured, shape, acpi)),
    registerOf(kernelEvents(measured.kernel)),
    registerOf([
      event(2, 'command-line', TYPE.tagged, measured.cmdline, 'command line'),
      event(2, 'initrd', TYPE.tagged, measured.initrd, 'initrd'),
    ]),
  ] as const;
  const unknown = rtmrs
    .flatMap(({ events }) => events)
    .filter(({ digest }) => digest === undefined)
    .map(({ name, dependsOn }) => ({ event: name, why: whyUnknown(dependsOn) }));
  return { mrtd: { value: measured.mrtd, dependsOn: ['firmware', 'QEMU version'] }, rtmrs, unknown, assumed };
}

function whyUnknown(dependsOn: readonly Influence[]): string {
  if (dependsOn.includes('ACPI by the host')) return 'made by the host for this VM: only its event log tells it';
  if (dependsOn.includes('variable store'))
    return 'the firmware comes with variables of its own, whose measurement is not known';
  return 'the document tells it for 2 GiB and for 2816 MiB of memory and more only: take the image';
}

function event(
  register: SystemRegister,
  name: SystemEventName,
  eventType: number,
  digest: Uint8Array | undefined,
  ...dependsOn: Influence[]
): SystemEvent {
  return { register, name, eventType, digest, dependsOn: dependsOn.length === 0 ? ['nothing'] : dependsOn };
}

function registerOf(events: readonly SystemEvent[]): RegisterPrediction {
  let value: Uint8Array | undefined = new Uint8Array(REGISTER_SIZE);
  for (const { digest } of events) value = value && digest && extend(value, digest);
  return { value, events };
}

const SEPARATOR = new Uint8Array(4);

/** RTMR0: what the firmware does before it starts the kernel. */
function bootEvents(
  { memory, configuration, noVariables }: Measured,
  { memorySize }: VmShape,
  acpi: AcpiDigests | undefined,
): SystemEvent[] {
  const variable = (vendor: Uint8Array, name: 'SecureBoot' | 'PK' | 'KEK' | 'db' | 'dbx') =>
    event(0, name, TYPE.variable, noVariables ? sha384(emptyVariable(vendor, name)) : undefined, 'variable store');
  const table = (name: 'acpi-loader' | 'acpi-rsdp' | 'acpi-tables', digest: Uint8Array | undefined) =>
    event(0, name, TYPE.acpi, digest, 'ACPI by the host');
  return [
    event(0, 'td-hob', TYPE.handoffTables, sha384(buildTdHob(memory, memorySize)), 'firmware', 'memory size'),
    event(0, 'configuration-volume', TYPE.firmwareBlob, configuration, 'firmware', 'variable store'),
    variable(GLOBAL_VARIABLE, 'SecureBoot'),
    variable(GLOBAL_VARIABLE, 'PK'),
    variable(GLOBAL_VARIABLE, 'KEK'),
    variable(IMAGE_SECURITY, 'db'),
    variable(IMAGE_SECURITY, 'dbx'),
    event(0, 'separator', TYPE.separator, sha384(SEPARATOR)),
    table('acpi-loader', acpi?.loader),
    table('acpi-rsdp', acpi?.rsdp),
    table('acpi-tables', acpi?.tables),
    event(0, 'BootOrder', TYPE.bootVariable, sha384(new Uint8Array(2)), 'firmware'),
    event(0, 'Boot0000', TYPE.bootVariable, sha384(setupBootOption()), 'firmware'),
  ];
}

/** RTMR1: the kernel and the calls around it. */
function kernelEvents(kernel: Uint8Array | undefined): SystemEvent[] {
  const action = (name: SystemEventName, text: string) => event(1, name, TYPE.action, sha384(ascii(text)));
  return [
    event(1, 'kernel', TYPE.application, kernel, 'QEMU version', 'kernel', 'initrd size', 'memory size'),
    action('calling-boot-option', 'Calling EFI Application from Boot Option'),
    event(1, 'separator', TYPE.separator, sha384(SEPARATOR)),
    action('exit-boot-services', 'Exit Boot Services Invocation'),
    action('exit-boot-services-success', 'Exit Boot Services Returned with Success'),
  ];
}
