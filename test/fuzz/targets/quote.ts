/** TDX quotes, versions 4 and 5. */
import { parseQuote } from '../../../src/tdx/quote-layout.ts';
import { type FuzzTarget, same } from '../target.ts';

const target: FuzzTarget = {
  limit: 65_536,
  dictionary: [
    Uint8Array.of(4, 0, 2, 0, 0x81, 0, 0, 0),
    Uint8Array.of(5, 0, 2, 0, 0x81, 0, 0, 0),
    Uint8Array.of(2, 0, 0x48, 2, 0, 0),
    Uint8Array.of(3, 0, 0x88, 2, 0, 0),
    Uint8Array.of(0xff, 0xff, 0xff, 0xff),
    '-----BEGIN CERTIFICATE-----',
  ],
  run(input) {
    const quote = parseQuote(input);
    same(
      'registers',
      quote.body.rtmrs.map(({ length }) => length),
      [48, 48, 48, 48],
    );
    same('report data', quote.body.reportData.length, 64);
    if (quote.signedLength + 4 + quote.authData.length > input.length)
      throw new Error('the quote is longer than its bytes');
  },
};
export default target;
