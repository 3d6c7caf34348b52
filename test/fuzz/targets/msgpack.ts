/** MessagePack of attestations. What is accepted, @msgpack/msgpack must read the same, and our encoding must lead back to it. */
import { decode } from '@msgpack/msgpack';
import { decodeMsgpack } from '../../../src/codec/msgpack.ts';
import { encodeMsgpack } from '../../../src/codec/msgpack-write.ts';
import { type FuzzTarget, same } from '../target.ts';

const target: FuzzTarget = {
  limit: 4096,
  dictionary: [
    ...[0xc0, 0xc1, 0xc2, 0x80, 0x90, 0xa0, 0xff, 0xd3, 0xcf].map((byte) => Uint8Array.of(byte)),
    Uint8Array.of(0xc4, 0),
    Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(0xdf, 0, 0, 0, 1),
    Uint8Array.of(0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0),
    Uint8Array.of(0xd4, 1, 1),
    Uint8Array.of(0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0),
    Uint8Array.from([0xa9, ...Buffer.from('__proto__')]),
  ],
  run(input) {
    const value = decodeMsgpack(input);
    same('read again', decodeMsgpack(encodeMsgpack(value)), value);
    // the library cannot have a key of this name, whatever it means
    if (Buffer.from(input).includes('__proto__')) return;
    same('as the library reads it', value, decode(input));
  },
};
export default target;
