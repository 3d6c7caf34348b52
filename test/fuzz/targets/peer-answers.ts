/** Answers of KMS, gateway, quote service, sealing provider and collateral service, after the transport has read them. */
import { decodeJsonValue } from '../../../src/codec/prpc-json.ts';
import { parseRegistration } from '../../../src/net/gateway-response.ts';
import { answerText } from '../../../src/net/prpc-client.ts';
import { readSealingAnswer } from '../../../src/net/sealing-key.ts';
import { wireGuardConfig } from '../../../src/net/wireguard.ts';
import { decodeResponse } from '../../../src/tdx/quote-qgs.ts';
import { parseCollateral } from '../../../src/verify/collateral-format.ts';
import { parseSgxQuote } from '../../../src/verify/sgx-quote.ts';
import { parseTcbInfo } from '../../../src/verify/tcb-info.ts';
import { JSON_WORDS, oneOf, utf8 } from '../select.ts';
import { type FuzzTarget, same } from '../target.ts';

const KEY = `${'B'.repeat(42)}A=`;

/** JSON as the client hands it on; text that is none ends there. */
function json(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(utf8(bytes));
  } catch {
    return null;
  }
}

/** wg-quick executes what stands behind PostUp and the like: only these keys may ever come out, one a line. */
const LINES =
  /^(|\[Interface\]|\[Peer\]|PrivateKey = [A-Za-z0-9+/=]{44}|PublicKey = [A-Za-z0-9+/=]{44}|ListenPort = \d+|Address = [\d.]+\/32|AllowedIPs = [\d.]+\/32|Endpoint = [^\s;&|`$]+:\d+|PersistentKeepalive = \d+)$/;

const target: FuzzTarget = {
  limit: 8192,
  dictionary: [
    ...JSON_WORDS,
    `"${KEY}"`,
    '"client_ip":"10.4.0.7"',
    '"servers":[',
    '"endpoint":"[fe80::1]:1"',
    '"10.4.0.1/24"',
    '\\nPostUp = id',
    '::ffff:1.2.3.4',
    '"error":',
    '"k256_key":"',
    '"encrypted_key":"0x00"',
    '"tcbLevels":[',
    '"advisoryIDs":[',
  ],
  run: oneOf(
    (bytes) => {
      const answer = parseRegistration(json(bytes), 'https://gw', []);
      const text = wireGuardConfig(KEY, answer);
      for (const line of text.split('\n')) if (!LINES.test(line)) throw new Error(`a line of the tunnel: ${line}`);
    },
    (bytes) => void decodeJsonValue('AppKeyResponse', json(bytes)),
    (bytes) => void decodeJsonValue('GetTempCaCertResponse', json(bytes)),
    (bytes) => void decodeJsonValue('SignCertResponse', json(bytes)),
    (bytes) => {
      const quote = decodeResponse(bytes);
      if (Buffer.from(bytes).indexOf(quote) < 0) throw new Error('a quote that is not in the answer');
    },
    (bytes) => void readSealingAnswer(json(bytes)),
    (bytes) => {
      same('bytes of the report', parseSgxQuote(bytes).reportData.length, 64);
    },
    (bytes) => void parseTcbInfo(utf8(bytes)),
    (bytes) => void parseCollateral(bytes, 'collateral'),
    (bytes) => {
      if (/[\p{Cc}\u2028\u2029]/u.test(answerText(utf8(bytes)) ?? ''))
        throw new Error('control characters in an error');
    },
  ),
};
export default target;
