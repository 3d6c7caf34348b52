/** LUKS2 headers. The first byte of the input tells its form: 0 = raw bytes of the device, else JSON text in a good frame. */
import { checkLuksHeader } from '../../../src/fde/luks-header.ts';
import { buildHeader } from '../../fde/header-builder.ts';
import type { FuzzTarget } from '../target.ts';

const target: FuzzTarget = {
  limit: 40_000,
  dictionary: [
    '"keyslots":{"0":{',
    '"tokens":{}',
    '"segments":{"0":{',
    '"digests":{"0":{',
    '"config":{',
    '"type":"luks2"',
    '"requirements":{"mandatory":["x"]}',
    '"flags":[]',
    '"encryption":"cipher_null-ecb"',
    '"aes-xts-plain64"',
    '"pbkdf2"',
    '"argon2id"',
    '"integrity":{}',
    '"size":"dynamic"',
    '"offset":"16777216"',
    '"__proto__":{}',
    '"1":{}',
    '\\u0030',
    '1e3',
    '18446744073709551616',
  ],
  run(input) {
    if (input[0] === 0) checkLuksHeader(input.subarray(1));
    else checkLuksHeader(buildHeader({ json: Buffer.from(input.subarray(1)).toString('latin1') }));
  },
};
export default target;
