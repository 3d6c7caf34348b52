/** Plain words for the names of checks, events and states. A name that is not known here is shown as it is. */
import type { FirmwareEventJson, Outcome, Part, RuntimeEventJson } from './report.ts';

const CHECKS: Readonly<Record<string, string>> = {
  input: 'What was given can be read',
  platform: 'The platform is one that is judged here',
  collateral: 'Intel’s statements about this machine (collateral) are signed and in force',
  dcap: 'The quote is signed by a quoting enclave whose certificates lead to the root',
  'tdx-module': 'The TDX module is one that Intel knows',
  'tcb-status': 'The patch level of machine and TDX module is accepted',
  'td-debug': 'Nobody can look into the guest with a debugger',
  'seam-signer': 'The TDX module was signed by Intel',
  'service-td': 'No service guest has power over this one',
  'sgx-signature': 'The signatures of the SGX quote lead to the root',
  'report-data': 'The report data beside the quote is the one inside it',
  'event-log': 'Every entry of the event log is of a known kind',
  'event-preimages': 'Each event brings the bytes that were hashed',
  'firmware-replay': 'The log of firmware and kernel leads to RTMR0, RTMR1 and RTMR2',
  'rtmr3-replay': 'The log of the guest leads to RTMR3',
  'boot-events': 'Every event is a step of the boot in its place, or came after the boot',
  'storage-encryption': 'The data disk is encrypted',
  'mr-config': 'The host started this guest for this app',
  identity: 'The events tell who the app is',
  'system-image': 'Image, checksum file and os_image_hash belong together',
  'system-registers': 'The registers of the system can be computed',
  'system-mrtd': 'MRTD is that of the system: its firmware',
  'system-rtmr0': 'RTMR0 is that of the system: shape of the machine and settings of the firmware',
  'system-rtmr1': 'RTMR1 is that of the system: its kernel',
  'system-rtmr2': 'RTMR2 is that of the system: kernel command line and initrd',
  'system-acpi': 'Tables that the host made for the kernel',
  'expect-app': 'The evidence is compared with an app that you named',
  'certificate-key': 'The quote is bound to the key of the certificate',
  'certificate-validity': 'The certificate is in force',
  'certificate-issuer': 'The certificate was issued by the one above it',
  'certificate-app-id': 'The certificate names the app that the quote shows',
  'certificate-app-info': 'What the certificate says of the app agrees with the quote',
};

/** A check in plain words, as what holds when it passes. */
export function checkWords(name: string): string {
  const known = CHECKS[name];
  if (known !== undefined) return known;
  if (name.startsWith('expect system-')) {
    return CHECKS[name.slice('expect '.length)]?.replace('the system', 'your prediction') ?? name;
  }
  if (name.startsWith('expect ')) return `You demanded: ${name.slice('expect '.length)}`;
  return name;
}

export const OUTCOMES: Readonly<Record<Outcome, { mark: string; words: string; tone: string }>> = {
  pass: { mark: '✓', words: 'holds', tone: 'good' },
  fail: { mark: '✗', words: 'does not hold', tone: 'bad' },
  unknown: { mark: '?', words: 'could not be checked', tone: 'warn' },
  note: { mark: '–', words: 'remark', tone: 'soft' },
};

export const PARTS: readonly { part: Part; title: string }[] = [
  { part: 'input', title: 'What was given' },
  { part: 'machine', title: 'Is it a genuine machine?' },
  { part: 'system', title: 'Which operating system runs?' },
  { part: 'app', title: 'Which app runs?' },
  { part: 'fresh', title: 'Is it fresh?' },
];

const RUNTIME: Readonly<Record<string, string>> = {
  'system-preparing': 'the guest begins to measure its app',
  'rootfs-hash': 'hash of the root filesystem, as older images measured it',
  'app-id': 'the id of the app, under which it gets its keys',
  'compose-hash': 'SHA-256 of app-compose.json, the whole definition of the app',
  'init-script-hash': 'SHA-256 of a script of the app that runs before the containers',
  'gpu-policy-hash': 'SHA-256 of what the app demands of GPUs',
  'gpu-attestation': 'what the GPUs proved',
  'instance-id': 'the id of this one instance',
  'boot-mr-done': 'the identity of the app is complete',
  'os-image-hash': 'hash of the operating system image, as the host states it',
  'key-provider': 'who gives the app its keys',
  'storage-fs': 'file system of the data disk',
  'storage-unencrypted': 'the data disk is not encrypted',
  'system-ready': 'the boot is over: whatever follows was measured by the app',
};

const FIRMWARE: Readonly<Record<string, string>> = {
  'td-hob': 'the memory map that the host gave the firmware',
  'configuration-volume': 'the settings that the firmware brings with it',
  SecureBoot: 'whether Secure Boot is on',
  PK: 'Secure Boot: the platform key',
  KEK: 'Secure Boot: who may change its lists',
  db: 'Secure Boot: what may start',
  dbx: 'Secure Boot: what must not start',
  separator: 'the end of a stage',
  'acpi-loader': 'ACPI: how the firmware puts the host’s tables together',
  'acpi-rsdp': 'ACPI: where the tables begin',
  'acpi-tables': 'ACPI: the tables of the host, which the kernel runs',
  BootOrder: 'the order in which boot options are tried',
  Boot0000: 'the first boot option',
  kernel: 'the kernel',
  'calling-boot-option': 'the firmware starts the kernel',
  'exit-boot-services': 'the kernel takes over from the firmware',
  'exit-boot-services-success': 'the kernel has taken over',
  'command-line': 'the kernel command line',
  initrd: 'the initrd',
};

/** What the kind of an event means, for one that no system names (TCG PC Client Platform Firmware Profile). */
const TYPES: Readonly<Record<string, string>> = {
  EV_SEPARATOR: 'the end of a stage',
  EV_ACTION: 'a step of the firmware',
  EV_EVENT_TAG: 'something that the kernel was given: its command line or its initrd',
  EV_IPL: 'a step of a boot loader',
  EV_PLATFORM_CONFIG_FLAGS: 'a setting that the host gave the firmware',
  EV_EFI_VARIABLE_DRIVER_CONFIG: 'a variable of Secure Boot',
  EV_EFI_VARIABLE_BOOT: 'a boot variable',
  EV_EFI_VARIABLE_BOOT2: 'a boot variable',
  EV_EFI_VARIABLE_AUTHORITY: 'the key that let a program start',
  EV_EFI_BOOT_SERVICES_APPLICATION: 'a program that the firmware started: a boot loader or the kernel',
  EV_EFI_BOOT_SERVICES_DRIVER: 'a driver of the firmware',
  EV_EFI_GPT_EVENT: 'the partition table of a disk',
  EV_EFI_ACTION: 'a step between firmware and kernel',
  EV_EFI_PLATFORM_FIRMWARE_BLOB: 'a part of the firmware',
  EV_EFI_PLATFORM_FIRMWARE_BLOB2: 'a part of the firmware',
  EV_EFI_HANDOFF_TABLES: 'tables that the host handed over',
  EV_EFI_HANDOFF_TABLES2: 'tables that the host handed over',
};

export const runtimeWords = ({ event, state }: RuntimeEventJson): string =>
  state === 'app' ? 'measured by the app' : (RUNTIME[event] ?? 'not an event that the boot measures');

export const firmwareWords = ({ event, type }: FirmwareEventJson): string =>
  FIRMWARE[event] ?? TYPES[type] ?? `an event of ${type}`;

export const STATES: Readonly<Record<string, { words: string; tone: string }>> = {
  pinned: { words: 'as you expect', tone: 'good' },
  known: { words: 'in its place', tone: 'soft' },
  app: { words: 'of the app', tone: 'soft' },
  drift: { words: 'drift', tone: 'bad' },
  expected: { words: 'as the system measures', tone: 'good' },
  host: { words: 'only the host says', tone: 'warn' },
  open: { words: 'not compared', tone: 'soft' },
};

export const REGISTERS: readonly string[] = [
  'firmware, shape of the machine',
  'kernel',
  'kernel command line, initrd',
  'the app, as the guest measured it',
];
