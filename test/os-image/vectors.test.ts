/** Every value that the platform's own programs gave for real firmware, from the image and from its document. */
import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import {
  type AcpiDigests,
  checkPlatformFirmware,
  documentOfImage,
  type ImageParts,
  predictFromDocument,
  predictFromImage,
  readMeasurementDocument,
  readVmConfig,
  type SystemPrediction,
  shapeFromVmConfig,
  writeMeasurementDocument,
} from '../../src/os-image/os-image.ts';
import { failure } from '../failure.ts';
import { debianFirmware, FIRMWARE } from './debian-firmware.ts';
import { imageParts, initrdA, kernelA, kernelB, type Vector, vectors } from './sample.ts';

const hex = (bytes: Uint8Array | undefined): string | undefined => bytes && toHex(bytes);
const registers = ({ mrtd, rtmrs: [r0, r1, r2] }: SystemPrediction) => ({
  mrtd: hex(mrtd.value),
  rtmr0: hex(r0.value),
  rtmr1: hex(r1.value),
  rtmr2: hex(r2.value),
});
const shape = (config: object) => shapeFromVmConfig(readVmConfig(Buffer.from(JSON.stringify(config)), 'vm_config'));

function acpiOf({ acpi_hashes }: Vector): AcpiDigests {
  const { loader, rsdp, tables } = acpi_hashes;
  return { loader: fromHex(loader), rsdp: fromHex(rsdp), tables: fromHex(tables) };
}

const firmwares = { stable: await debianFirmware('stable'), unstable: await debianFirmware('unstable') };

describe.each(['stable', 'unstable'] as const)('firmware of Debian %s', (name) => {
  const firmware = firmwares[name];
  const missing = typeof firmware === 'string' ? firmware : undefined;
  const own = vectors().filter(({ firmware_sha256 }) => firmware_sha256 === FIRMWARE[name].sha256);

  it('has vectors with both kernels', () => {
    expect(own.map(({ kernel }) => kernel)).toEqual(['kernel-a', 'kernel-b']);
  });

  describe.skipIf(missing !== undefined).each(own)(`$kernel (${missing ?? 'checked here'})`, (vector) => {
    let parts: ImageParts;
    beforeAll(() => {
      const kernel = vector.kernel === 'kernel-a' ? kernelA() : kernelB();
      expect(createHash('sha256').update(kernel).digest('hex')).toBe(vector.kernel_sha256);
      parts = imageParts({
        metadata: vector.metadata,
        firmware: firmware as Uint8Array,
        kernel,
        initrd: initrdA(),
      });
    });

    it('its measurement document is the platform’s, byte for byte', () => {
      const document = documentOfImage(parts);
      const bytes = writeMeasurementDocument(document);
      expect(toHex(bytes)).toBe(vector.measurement_tdx_cbor);
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(vector.measurement_hash);
      expect(readMeasurementDocument(bytes)).toEqual(document);
      expect(toHex(document.kernel)).toBe(vector.measurement.image.kernel_authenticode);
      expect(toHex(document.mrtd.twoPass)).toBe(vector.measurement.tdvf.mrtd.two_pass);
    });

    it.each(vector.cases)('$vm_config', ({ vm_config, with_acpi_hashes, without_rtmr0 }) => {
      const vm = shape(vm_config);
      const document = readMeasurementDocument(fromHex(vector.measurement_tdx_cbor));
      const fromImage = predictFromImage(parts, vm, acpiOf(vector));
      // 1 GiB: the document has no digest of the kernel for it
      const { rtmr1, ...others } = with_acpi_hashes;
      const small = vm.memorySize < 0x8000_0000;
      expect(registers(predictFromDocument(document, vm, acpiOf(vector)))).toEqual({
        ...others,
        rtmr1: small ? undefined : rtmr1,
      });
      const { rtmr0, ...rest } = registers(fromImage);
      expect(rest).toEqual(without_rtmr0);
      // the firmware of unstable brings Secure Boot keys: the platform calculates as if it did not
      expect(rtmr0).toBe(name === 'stable' ? with_acpi_hashes.rtmr0 : undefined);
    });

    it('without an event log RTMR0 is not known, and each missing event is named', () => {
      const prediction = predictFromImage(parts, shape(vector.cases[0]?.vm_config ?? {}));
      expect(prediction.rtmrs[0].value).toBeUndefined();
      const variables = name === 'stable' ? [] : ['SecureBoot', 'PK', 'KEK', 'db', 'dbx'];
      expect(prediction.unknown.map(({ event }) => event)).toEqual([
        ...variables,
        'acpi-loader',
        'acpi-rsdp',
        'acpi-tables',
      ]);
    });

    it(name === 'stable' ? 'the platform can judge it' : 'the platform cannot judge it', () => {
      if (name === 'stable') return checkPlatformFirmware(parts.firmware);
      expect(failure(() => checkPlatformFirmware(parts.firmware)).code).toBe('FIRMWARE_INVALID');
    });
  });
});
