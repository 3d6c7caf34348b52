/** Key provider local: a sealing key for this guest from an enclave that proves what it is. */
import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { mockQuote } from '../../simulator/mock-quote.ts';
import { toHex } from '../../src/codec/hex.ts';
import { keysFromSeed } from '../../src/keys/seed-keys.ts';
import { requestSealingKey } from '../../src/net/sealing-key.ts';
import { rejection } from '../failure.ts';
import { pki } from '../simulator/kms/guest.ts';
import { type Provider, type SgxHost, seal, sgxQuote, startSgxHost } from './sgx-host.ts';

const SEED = new Uint8Array(32).fill(0x42);
const MR_ENCLAVE = new Uint8Array(32).fill(0xee);
const hashOf = (bytes: Uint8Array) => {
  const out = new Uint8Array(64);
  out.set(createHash('sha256').update(bytes).digest());
  return out;
};

let host: SgxHost | undefined;
afterEach(async () => {
  await host?.close();
  host = undefined;
});

/** The provider of an honest host, with one part changed. */
function provider(
  change: { seed?: Uint8Array; bound?: Uint8Array; debug?: boolean; quote?: Uint8Array } = {},
): Provider {
  return (guestKey) => {
    const encrypted = seal(change.seed ?? SEED, guestKey);
    const bound = hashOf(change.bound ?? encrypted);
    return {
      encrypted_key: encrypted,
      provider_quote: change.quote ?? sgxQuote(MR_ENCLAVE, bound, change.debug),
    };
  };
}

async function ask(answers: Provider, rootCa: Uint8Array | undefined = pki.root) {
  host = await startSgxHost(answers);
  const { hostApiUrl, pccsUrl } = host;
  const quote = async (reportData: Uint8Array) => {
    expect(reportData.subarray(32)).toEqual(new Uint8Array(32));
    return mockQuote(pki, { mrtd: new Uint8Array(48), rtmrs: [], reportData });
  };
  return requestSealingKey({ hostApiUrl, pccsUrl, quote, ...(rootCa === undefined ? {} : { rootCa }) });
}

describe('a sealing key', () => {
  it('is opened, and names the enclave it came from', async () => {
    const { seed, mr } = await ask(provider());
    expect([toHex(seed), toHex(mr)]).toEqual([toHex(SEED), toHex(MR_ENCLAVE)]);
    const keys = keysFromSeed(seed, { kind: 'local', mr });
    expect(keys.keyProvider).toMatchObject({ kind: 'local', mr });
  });

  const foreign = seal(SEED, new Uint8Array(32).fill(9));
  it.each([
    ['of another length', provider({ seed: new Uint8Array(31) }), 'KEY_INVALID', /31 bytes instead of 32/],
    ['that the enclave does not vouch for', provider({ bound: SEED }), 'KEY_INVALID', /invalid key hash/],
    ['from an enclave that can be debugged', provider({ debug: true }), 'EVIDENCE_INVALID', /Debug mode/],
    [
      'from something that is no enclave',
      provider({ quote: mockQuote(pki, { mrtd: new Uint8Array(48), rtmrs: [], reportData: new Uint8Array(64) }) }),
      'QUOTE_INVALID',
      /not an SGX quote/,
    ],
    [
      'that was sealed for somebody else',
      () => ({ encrypted_key: foreign, provider_quote: sgxQuote(MR_ENCLAVE, hashOf(foreign)) }),
      'KEY_INVALID',
      /does not open/,
    ],
    [
      'with a quote that was changed',
      (key: Uint8Array) => {
        const honest = provider()(key);
        const quote = Buffer.from(honest.provider_quote);
        quote[48 + 64] = 0;
        return { ...honest, provider_quote: quote };
      },
      'EVIDENCE_INVALID',
      /signature/i,
    ],
  ] as [string, Provider, string, RegExp][])('%s is refused', async (_, answers, code, why) => {
    const refused = await rejection(ask(answers));
    expect(refused.code).toBe(code);
    expect(`${refused.message}: ${String((refused.cause as Error | undefined)?.message ?? '')}`).toMatch(why);
  });

  it('from a platform of another root than Intel is refused, as no configuration can change', async () => {
    host = await startSgxHost(provider());
    const { hostApiUrl, pccsUrl } = host;
    const quote = async (reportData: Uint8Array) => mockQuote(pki, { mrtd: new Uint8Array(48), rtmrs: [], reportData });
    expect((await rejection(requestSealingKey({ hostApiUrl, pccsUrl, quote }))).code).toBe('EVIDENCE_INVALID');
  });

  it('needs a host that answers, and answers with what was asked', async () => {
    const quote = async () => new Uint8Array(1);
    expect((await rejection(requestSealingKey({ hostApiUrl: undefined, quote }))).field).toBe('host_api_url');
    const down = await rejection(requestSealingKey({ hostApiUrl: 'unix:/nowhere/host.sock', quote }));
    expect(down.code).toBe('HOST_API_UNREACHABLE');
    const answer = provider()(new Uint8Array(32).fill(9));
    const incomplete = { encrypted_key: answer.encrypted_key } as typeof answer;
    expect(await rejection(ask(() => incomplete))).toMatchObject({ code: 'HOST_API_FAILED', field: 'provider_quote' });
  });
});
