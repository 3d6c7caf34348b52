/** Requests for certificates in SCALE, both versions, against scale-ts: what we accept it must read the same. */
import * as scale from 'scale-ts';
import { decodeCsr, decodeCsrV1, encodeCsr } from '../../../src/keys/csr.ts';
import { oneOf } from '../select.ts';
import { type FuzzTarget, same } from '../target.ts';

const CONTENT = {
  confirm: scale.str,
  spkiDer: scale.Bytes(),
  organization: scale.Option(scale.str),
  commonName: scale.str,
  altNames: scale.Vector(scale.str),
  serverAuth: scale.bool,
  clientAuth: scale.bool,
  withQuote: scale.bool,
};
const V2 = scale.Struct({
  ...CONTENT,
  withAppInfo: scale.bool,
  notBefore: scale.Option(scale.u64),
  notAfter: scale.Option(scale.u64),
});
const V1 = scale.Struct({ ...CONTENT, quote: scale.Bytes(), eventLog: scale.Bytes() });

const target: FuzzTarget = {
  limit: 8192,
  dictionary: [
    Uint8Array.of(0),
    Uint8Array.of(1),
    Uint8Array.of(2),
    Uint8Array.of(1, 0),
    Uint8Array.of(3, 255, 255, 255, 255),
    Uint8Array.of(0xfe, 0xff, 0xff, 0xff),
    'Dplease sign cert:',
  ],
  run: oneOf(
    (bytes) => {
      const { attestation, ...ours } = decodeCsr(bytes);
      same('written again', encodeCsr({ ...ours, attestation }), bytes);
      const { confirm, notBefore, notAfter, ...theirs } = V2.dec(Uint8Array.from(bytes));
      const seconds = (value: bigint | undefined) => (value === undefined ? undefined : Number(value));
      same('as scale-ts reads it', ours, { ...theirs, notBefore: seconds(notBefore), notAfter: seconds(notAfter) });
    },
    (bytes) => {
      const { confirm, ...theirs } = (() => {
        const ours = decodeCsrV1(bytes);
        const read = V1.dec(Uint8Array.from(bytes));
        same('as scale-ts reads it', { confirm: read.confirm, ...ours }, read);
        return read;
      })();
      same('written again', V1.enc({ confirm, ...theirs }), bytes);
    },
  ),
};
export default target;
