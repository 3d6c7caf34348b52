/** CBOR in the one form that is allowed: whatever is accepted, encoding it again gives the same bytes. */
import { decodeCbor, encodeCbor } from '../../../src/codec/cbor.ts';
import { type FuzzTarget, same } from '../target.ts';

const target: FuzzTarget = {
  limit: 4096,
  dictionary: [
    ...[0xa0, 0xbf, 0x80, 0x9f, 0x40, 0x5f, 0x60, 0x7f, 0xf6, 0xff].map((byte) => Uint8Array.of(byte)),
    Uint8Array.of(0x18, 0x17),
    Uint8Array.of(0x1b, 0, 0x20, 0, 0, 0, 0, 0, 0),
    Uint8Array.of(0x5b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(0xc2, 0x40),
    Uint8Array.of(0xf9, 0, 0),
  ],
  run(input) {
    same('written again', encodeCbor(decodeCbor(input)), input);
  },
};
export default target;
