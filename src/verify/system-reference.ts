/** What the system of a quote is compared with: an image folder, a measurement document, or a prediction file. */
import {
  type AcpiDigests,
  documentOfImage,
  type ImageFolder,
  type MeasurementDocument,
  predictFromDocument,
  predictFromImage,
  type SystemPins,
  type SystemPrediction,
  type VmShape,
} from '../os-image/os-image.ts';

/** One predicted event. */
export interface ExpectedSystemEvent {
  readonly name: string;
  /** TCG event type; undefined when the prediction does not say */
  readonly eventType?: number | undefined;
  /** 48 bytes; undefined when nobody can predict it */
  readonly digest?: Uint8Array | undefined;
}

/** What should be in the registers. */
export interface ExpectedSystem {
  /** 48 bytes; undefined when the prediction leaves it open, also below */
  readonly mrtd: Uint8Array | undefined;
  /** RTMR0, RTMR1, RTMR2 */
  readonly registers: readonly {
    readonly value: Uint8Array | undefined;
    readonly events: readonly ExpectedSystemEvent[];
  }[];
  /** why a value is not known, by event */
  readonly unknown: readonly { readonly event: string; readonly why: string }[];
  readonly assumed: readonly string[];
}

export interface SystemReference {
  /** `evidence`: the host brought it, so that alone it proves nothing */
  readonly kind: 'image' | 'document' | 'prediction' | 'evidence';
  /** for people: what it is and where it was found */
  readonly name: string;
  /** SHA-256 of the checksum file that binds it, 32 bytes; undefined when there is none */
  readonly osImageHash: Uint8Array | undefined;
  /** why the reference does not hold together, in words */
  readonly broken?: string | undefined;
  /** the short form, where there is one: cheap to compute with */
  readonly document?: MeasurementDocument | undefined;
  /** the reference says for itself what depends on the shape of the VM */
  readonly needsShape: boolean;
  /** @throws VM_SHAPE_UNSUPPORTED, FIRMWARE_INVALID, KERNEL_INVALID */
  readonly expected: (shape: VmShape, acpi: AcpiDigests | undefined) => ExpectedSystem;
}

const ofPrediction = ({ mrtd, rtmrs, unknown, assumed }: SystemPrediction): ExpectedSystem => ({
  mrtd: mrtd.value,
  registers: rtmrs,
  unknown,
  assumed,
});

/** @param broken why the files do not belong together, found by `checkImageFolder` */
export function imageReference(folder: ImageFolder, broken?: string): SystemReference {
  return {
    kind: 'image',
    name: `image folder ${folder.dir}`,
    osImageHash: folder.osImageHash,
    broken,
    document: documentOrNone(folder),
    needsShape: true,
    expected: (shape, acpi) => ofPrediction(predictFromImage(folder.parts, shape, acpi)),
  };
}

/** Firmware with a store of its own has no document; it is judged without this help. */
function documentOrNone(folder: ImageFolder): MeasurementDocument | undefined {
  try {
    return documentOfImage(folder.parts);
  } catch {
    return undefined;
  }
}

export function documentReference(
  kind: 'document' | 'evidence',
  name: string,
  document: MeasurementDocument,
  osImageHash?: Uint8Array,
): SystemReference {
  return {
    kind,
    name,
    osImageHash,
    document,
    needsShape: true,
    expected: (shape, acpi) => ofPrediction(predictFromDocument(document, shape, acpi)),
  };
}

/** A prediction has chosen its shape already; only the ACPI tables may be open in it. */
export function pinsReference(name: string, pins: SystemPins): SystemReference {
  return {
    kind: 'prediction',
    name,
    osImageHash: pins.osImageHash,
    needsShape: false,
    expected: (_, acpi) => ({
      mrtd: pins.mrtd,
      registers: ([0, 1, 2] as const).map((register) => ({
        value: pins.rtmrs[register],
        events: pins.events.filter((event) => event.register === register).map((event) => filled(event, acpi)),
      })),
      unknown: [],
      assumed: [],
    }),
  };
}

function filled(event: ExpectedSystemEvent, acpi: AcpiDigests | undefined): ExpectedSystemEvent {
  const tables: Readonly<Record<string, Uint8Array | undefined>> = {
    'acpi-loader': acpi?.loader,
    'acpi-rsdp': acpi?.rsdp,
    'acpi-tables': acpi?.tables,
  };
  return { ...event, digest: event.digest ?? tables[event.name] };
}
