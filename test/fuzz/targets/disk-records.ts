/** The small records in front of a volume: mark, restarts, envelope of a verity volume, and a torn superblock of ext4. */

import { DstackError } from '../../../src/errors.ts';
import type { DiskMachine } from '../../../src/fde/disk-machine.ts';
import { tornSuperblock } from '../../../src/fde/ext4-superblock.ts';
import { encodeMark, parseMark } from '../../../src/fde/marks.ts';
import { encodeRestarts, parseRestarts } from '../../../src/fde/restarts.ts';
import { encodeRecord } from '../../../src/fde/spare-sector.ts';
import { parseEnvelope } from '../../../src/fde/volume-envelope.ts';
import { oneOf, utf8 } from '../select.ts';
import { type FuzzTarget, same } from '../target.ts';

const BLOCK = 1024;

/** A file system of two groups of 8 blocks, whose superblock and first copy are the input. */
async function superblock(input: Uint8Array): Promise<void> {
  const device = Buffer.alloc(64 * BLOCK);
  device.set(input.subarray(0, BLOCK), BLOCK);
  device.set(input.subarray(BLOCK, 2 * BLOCK), 9 * BLOCK);
  const read = async (_: string, at: number, length: number): Promise<Uint8Array> => {
    if (!(at >= 0 && at + length <= device.length)) throw new DstackError('FILE_IO', 'outside the device');
    return new Uint8Array(device.subarray(at, at + length));
  };
  const mended = await tornSuperblock('/dev/x', { read } as unknown as DiskMachine);
  if (mended === undefined) return;
  same('all but the checksum', mended.subarray(0, 0x3fc), device.subarray(BLOCK, BLOCK + 0x3fc));
  device.set(mended, BLOCK);
  same('mended again', await tornSuperblock('/dev/x', { read } as unknown as DiskMachine), undefined);
}

const target: FuzzTarget = {
  limit: 1 + 4096,
  dictionary: ['dstack restarts 1\n', 'count 7\n', 'DSTACK_VOLUME\0\0\0', Uint8Array.of(0x53, 0xef), '\n', '\0'],
  run: oneOf(
    (bytes) => {
      const mark = parseMark(bytes);
      if (mark !== undefined) same('the mark written again', encodeMark(mark), bytes);
    },
    (bytes) => {
      // as text of a record whose checksum is right
      const text = utf8(bytes.subarray(0, 300));
      let record: Uint8Array;
      try {
        record = encodeRecord(text);
      } catch {
        return;
      }
      const mark = parseMark(record);
      if (mark !== undefined) same('the mark of this text', encodeMark(mark), record);
      const count = parseRestarts(record);
      if (count > 0) same('the count of this text', encodeRestarts(count), record);
    },
    (bytes) => {
      const count = parseRestarts(bytes);
      if (count > 0) same('the count written again', encodeRestarts(count), bytes);
    },
    (bytes) => {
      const envelope = parseEnvelope(bytes);
      if (envelope?.kind === 'verity') same('the root', envelope.root, bytes.subarray(20, 52));
    },
    superblock,
  ),
};
export default target;
