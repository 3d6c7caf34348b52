/** The options that `measure` and `verify init` have in common: what is predicted. */
import type { Command } from 'commander';
import { collect } from './collect.ts';
import type { SystemOptions } from './measure-system.ts';

export interface PredictionOptions extends SystemOptions {
  readonly instanceInfo?: string;
  readonly appId?: string;
  readonly instanceId?: string;
  readonly keyProviderId?: string;
  readonly osImageHash?: string;
  readonly cmdline?: string;
  readonly event: string[];
}

/** Adds the options that say what is predicted. */
export function predictionOptions(command: Command): Command {
  return command
    .option('--instance-info <file>', 'the .instance_info that the host keeps for this instance')
    .option('--app-id <hex>', '20 bytes, if the host names the app')
    .option('--instance-id <hex>', '20 bytes, of the running guest')
    .option('--key-provider-id <hex>', 'KMS root key (SPKI in DER) or MRENCLAVE of the local provider')
    .option('--os-image-hash <hex>', 'os image hash that the KMS answers for this image')
    .option('--cmdline <text>', 'kernel command line, for its storage options')
    .option('--event <name=hex>', 'event that the app measures after the boot; may be repeated', collect, [])
    .option('--image <dir>', 'folder of the operating system image: predict the system, too')
    .option('--image-measurement <file>', 'measurement.tdx.cbor of the image, instead of the folder')
    .option('--checksum-file <file>', 'sha256sum.txt of the image (default: the one beside the measurement document)')
    .option('--vm-config <file>', 'vm_config document of the VM as JSON')
    .option('--memory <size>', 'memory of the VM: bytes, or 2G')
    .option('--cpus <n>', 'processors of the VM')
    .option('--qemu-version <version>', 'QEMU of the host (default: 9.1.0)')
    .option('--vm <name=value>', 'another field of vm_config, as hotplug_off=true; may be repeated', collect, [])
    .option('--acpi <hex,hex,hex>', 'digests of the events acpi-loader, acpi-rsdp and acpi-tables')
    .option('--event-log <file>', 'event log as JSON of a VM of this shape, for its ACPI digests');
}
