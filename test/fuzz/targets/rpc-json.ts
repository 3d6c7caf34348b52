/**
 * Requests in JSON and in queries: the first byte picks the message. What is accepted must come back from our own encoding
 * in JSON and in protobuf unchanged, and must hold no more than JSON.parse sees in the same text.
 */
import { decodeJson, decodeQuery, encodeJson } from '../../../src/codec/prpc-json.ts';
import { fieldsOf, MESSAGES, type MessageName } from '../../../src/codec/prpc-messages.ts';
import { decodeProtobuf, encodeProtobuf } from '../../../src/codec/prpc-protobuf.ts';
import { JSON_WORDS, utf8 } from '../select.ts';
import { type FuzzTarget, same } from '../target.ts';

export const NAMES = Object.keys(MESSAGES) as MessageName[];

const target: FuzzTarget = {
  limit: 4096,
  dictionary: [
    ...JSON_WORDS,
    '0x',
    '0x0x00',
    '&',
    '=',
    '[0]=',
    '[]=',
    '%00',
    '%ff',
    '+',
    ...['GetTlsKeyArgs', 'SignRequest', 'RawQuoteArgs', 'GetKeyArgs'].flatMap((name) =>
      [...fieldsOf(name as MessageName).keys()].map((key) => `"${key}":`),
    ),
  ],
  run(input) {
    const name = NAMES[(input[0] ?? 0) % NAMES.length] as MessageName;
    const query = (input[1] ?? 0) % 2 === 1;
    const text = utf8(input.subarray(2));
    const message = query ? decodeQuery(name, text) : decodeJson(name, text);
    same('after JSON', decodeJson(name, encodeJson(name, message)), message);
    same('after protobuf', decodeProtobuf(name, encodeProtobuf(name, message)), message);
    if (query || text === '' || name === 'Empty') return;
    const parsed = JSON.parse(text) as Record<string, unknown>;
    for (const [key, value] of Object.entries(message)) {
      if (typeof value === 'string' && value !== '') same(`text of ${key}`, parsed[key], value);
      if (typeof value === 'number' && value !== 0) same(`number of ${key}`, parsed[key], value);
    }
  },
};
export default target;
