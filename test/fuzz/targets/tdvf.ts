/** TDX firmware: its metadata, what is measured of it, and the memory it owns. */
import { DstackError } from '../../../src/errors.ts';
import { readWitness, writeWitness } from '../../../src/os-image/memory-layout.ts';
import { computeMrtd } from '../../../src/os-image/mrtd.ts';
import { buildTdHob } from '../../../src/os-image/td-hob.ts';
import { configurationVolume, memoryLayoutOf, parseTdvf } from '../../../src/os-image/tdvf.ts';
import { isEmptyVariableStore } from '../../../src/os-image/variable-store.ts';
import { type FuzzTarget, same } from '../target.ts';

const target: FuzzTarget = {
  limit: 65_536,
  dictionary: [
    'TDVF',
    '_FVH',
    Uint8Array.of(0, 0x10, 0, 0),
    Uint8Array.of(0, 0, 0x81, 0, 0, 0, 0, 0),
    Uint8Array.of(0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(0, 0xf0, 0xff, 0xff),
    Uint8Array.of(1, 0, 0, 0),
    Uint8Array.of(2, 0, 0, 0),
    Uint8Array.of(3, 0, 0, 0),
  ],
  run(input) {
    const sections = parseTdvf(input);
    same('MRTD', computeMrtd(sections, 'single-pass').length, 48);
    same('MRTD', computeMrtd(sections, 'two-pass').length, 48);
    const layout = memoryLayoutOf(sections);
    const witness = writeWitness(layout);
    const again = readWitness(witness, (why) => {
      throw new Error(`our own witness ${why}`);
    });
    same('the witness', again, layout);
    for (const memory of [0, 4096, 2 ** 31, 0xb000_0000, 2 ** 36]) {
      try {
        same('the end of the hand-off list', buildTdHob(layout, memory).length % 48, 56 % 48);
      } catch (thrown) {
        if (!(thrown instanceof DstackError)) throw thrown;
      }
    }
    isEmptyVariableStore(configurationVolume(sections));
  },
};
export default target;
