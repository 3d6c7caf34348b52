/** What a system will measure: the types that the prediction, the verifier and the simulated device share. */

/** What a digest depends on; in the order in which they are named to a reader. */
export const INFLUENCES = [
  'firmware',
  'variable store',
  'QEMU version',
  'memory size',
  'kernel',
  'initrd',
  'initrd size',
  'command line',
  'ACPI by the host',
  'nothing',
] as const;
export type Influence = (typeof INFLUENCES)[number];

/** Names of the thirteen events of RTMR0, five of RTMR1 and two of RTMR2, in the order of extension. */
export const EVENT_NAMES = [
  [
    'td-hob',
    'configuration-volume',
    'SecureBoot',
    'PK',
    'KEK',
    'db',
    'dbx',
    'separator',
    'acpi-loader',
    'acpi-rsdp',
    'acpi-tables',
    'BootOrder',
    'Boot0000',
  ],
  ['kernel', 'calling-boot-option', 'separator', 'exit-boot-services', 'exit-boot-services-success'],
  ['command-line', 'initrd'],
] as const;
export type SystemEventName = (typeof EVENT_NAMES)[number][number];

export type SystemRegister = 0 | 1 | 2;

export interface SystemEvent {
  readonly register: SystemRegister;
  readonly name: SystemEventName;
  /** TCG event type as the firmware logs it */
  readonly eventType: number;
  /** 48 bytes; undefined when it cannot be told from image and shape: `unknown` says why */
  readonly digest: Uint8Array | undefined;
  readonly dependsOn: readonly Influence[];
}

export interface RegisterPrediction {
  /** 48 bytes; undefined when an event of it is unknown */
  readonly value: Uint8Array | undefined;
  readonly events: readonly SystemEvent[];
}

export interface SystemPrediction {
  readonly mrtd: { readonly value: Uint8Array; readonly dependsOn: readonly Influence[] };
  /** RTMR0, RTMR1, RTMR2 */
  readonly rtmrs: readonly [RegisterPrediction, RegisterPrediction, RegisterPrediction];
  readonly unknown: readonly { readonly event: SystemEventName; readonly why: string }[];
  /** what was taken for granted, one sentence each */
  readonly assumed: readonly string[];
}

/** SHA-384 of what QEMU generated for this VM, 48 bytes each: only an event log tells them. */
export interface AcpiDigests {
  readonly loader: Uint8Array;
  readonly rsdp: Uint8Array;
  readonly tables: Uint8Array;
}
