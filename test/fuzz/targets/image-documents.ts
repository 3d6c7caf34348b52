/** What comes with an image: metadata.json, sha256sum.txt and measurement.tdx.cbor. The first byte chooses. */
import { formatChecksumFile, parseChecksumFile } from '../../../src/os-image/checksum-file.ts';
import { readMeasurementDocument, writeMeasurementDocument } from '../../../src/os-image/document.ts';
import { isFileName, readImageMetadata } from '../../../src/os-image/metadata.ts';
import { type FuzzTarget, same } from '../target.ts';

const target: FuzzTarget = {
  limit: 16_384,
  dictionary: [
    '"bios":"ovmf.fd"',
    '"bios-sev":"a"',
    '"ovmf_variant":"pre202505"',
    `dstack.rootfs_hash=${'ab'.repeat(32)}`,
    '../',
    `${'cd'.repeat(32)}  a\n`,
    '\r\n',
    Uint8Array.of(0xa3, 0x67),
    Uint8Array.of(0x58, 0x30),
    Uint8Array.of(0xbf),
    Uint8Array.of(0x5a, 0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(0x80, 0x10),
  ],
  run(input) {
    const bytes = input.subarray(1);
    if (input[0] === 0) {
      const { bios, kernel, initrd, rootfsHash } = readImageMetadata(bytes);
      same('files of the folder', [bios, kernel, initrd].every(isFileName), true);
      same('the hash', rootfsHash.length, 32);
    } else if (input[0] === 1) {
      const checksums = parseChecksumFile(bytes);
      same('written and read', [...parseChecksumFile(formatChecksumFile(checksums))], [...checksums]);
    } else {
      const document = readMeasurementDocument(bytes);
      same('written and read', readMeasurementDocument(writeMeasurementDocument(document)), document);
    }
  },
};
export default target;
