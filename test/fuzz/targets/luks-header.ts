/**
 * LUKS2 headers. The first byte of the input tells its form: 0 = raw bytes of the device, 2 = the same with its checksums
 * repaired, else JSON text in a good frame. What is accepted is read a second time, by nothing but JSON.parse.
 */
import { checkLuksHeader } from '../../../src/fde/luks-header.ts';
import { buildHeader } from '../../fde/header-builder.ts';
import { copySize, jsonText, seal } from '../../fde/header-corpus.ts';
import { type FuzzTarget, same } from '../target.ts';

const PAYLOAD = 16 * 1024 * 1024;

/** What cryptsetup must find in a header that was accepted, or it takes any key, stalls, or reads what is not the slot. */
function expectSound(header: Uint8Array): void {
  const size = copySize(header);
  const [slot, digest, config] = [0, 1].map((copy) => {
    const { keyslots, digests, config } = JSON.parse(jsonText(header, copy as 0 | 1));
    return [keyslots['0'], digests['0'], config] as const;
  })[1]!;
  same('the copies', jsonText(header, 0), jsonText(header, 1));
  for (const text of [slot.kdf.salt, digest.salt, digest.digest]) {
    same('32 bytes in base64', Buffer.from(text, 'base64').subarray(0, 32).toString('base64'), text);
    same('their length', Buffer.from(text, 'base64').length, 32);
  }
  const within = (what: string, value: number, low: number, high: number): void => {
    if (!(value >= low && value <= high)) throw new Error(`${what} ${value} is not between ${low} and ${high}`);
  };
  within('iterations', slot.kdf.iterations, 1000, 1e7);
  within('iterations of the digest', digest.iterations, 1000, 1e7);
  within('offset', Number(slot.area.offset), 2 * size, PAYLOAD);
  within('size', Number(slot.area.size), 64 * 4000, PAYLOAD);
  within(
    'end of the slot',
    Number(slot.area.offset) + Number(slot.area.size),
    0,
    2 * size + Number(config.keyslots_size),
  );
  within('end of the slots', 2 * size + Number(config.keyslots_size), 0, PAYLOAD);
  same('json_size', Number(config.json_size), size - 4096);
  same('checksums', Buffer.from(seal(Buffer.from(header), size)).equals(header), true);
}

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
    '"digest":""',
    '"iterations":4294967295',
    '"keyslots_size":"0"',
    '"size":"dynamic"',
    '"offset":"16777216"',
    '"__proto__":{}',
    '"1":{}',
    '\\u0030',
    '1e3',
    '18446744073709551616',
  ],
  run(input) {
    const rest = Buffer.from(input.subarray(1));
    const repaired = (): Uint8Array => (rest.length < 16 ? rest : seal(rest, copySize(rest)));
    const text = (): Uint8Array => buildHeader({ json: rest.toString('latin1') });
    const header = input[0] === 0 ? rest : input[0] === 2 ? repaired() : text();
    checkLuksHeader(header);
    expectSound(header);
  },
};
export default target;
