/** A small image with the variable store of the platform's firmware, the only one that a measurement document stands for. */
import { buildFirmware, SECTIONS } from '../os-image/sample.ts';
import { FILES, type Files } from '../verify/system-fixture.ts';

const PAGE = 4096;
const VOLUME = 0x84 * PAGE;

/** An empty store of authenticated variables as edk2 makes it: volume header, header of the store, header of the spare block. */
function emptyStore(): Uint8Array {
  const volume = new Uint8Array(VOLUME).fill(0xff);
  // EFI_FIRMWARE_VOLUME_HEADER with one map entry, VARIABLE_STORE_HEADER: formatted, healthy
  const headers =
    '000000000000000000000000000000008d2bf1ff96768b4ca9852747075b4f5000400800000000005f465648fffe0400' +
    '4800afb80000000284000000001000000000000000000000782cf3aa7b949a43a1802e144ec37792b8ff03005afe000000000000';
  volume.set(Buffer.from(headers, 'hex'));
  // EFI_FAULT_TOLERANT_WORKING_BLOCK_HEADER
  volume.set(Buffer.from('2b29589e687c7d49a0ce6500fd9f1b952caf2c64feffffffe00f000000000000', 'hex'), 0x41 * PAGE);
  return volume;
}

/** The firmware of the other tests behind that store. */
function plainFirmware(): Uint8Array {
  const added = VOLUME - PAGE;
  const sections = SECTIONS.map(([offset, size, address, memory, type, attributes]) => {
    if (type === 1) return [0, VOLUME, address - added, VOLUME, type, attributes] as const;
    return [size === 0 ? 0 : offset + added, size, address, memory, type, attributes] as const;
  });
  const small = buildFirmware(sections);
  const firmware = new Uint8Array(small.length + added);
  firmware.set(emptyStore());
  firmware.set(small.subarray(PAGE), VOLUME);
  return firmware;
}

export const PLAIN: Files = { ...FILES, firmware: plainFirmware() };
