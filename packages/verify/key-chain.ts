/** Signature chains of keys that GetKey answers: whose key is it, and did the KMS name the app. */
import { DstackError } from '../../src/errors.ts';
import { keyClaimV0, keyClaimV1 } from '../../src/keys/signature-chain.ts';
import { checkKeyChain } from '../../src/verify/key-chain-check.ts';
import { type Hex, hexBytes, optionalHexBytes } from './bytes.ts';
import type { Check, Verdict } from './report.ts';

interface ChainOfKey {
  /** compressed secp256k1 point (33 bytes) or ed25519 public key (32 bytes) */
  readonly publicKey: Hex;
  /** `signature_chain` of the answer: two links; of `Sign`, without its first */
  readonly chain: readonly Hex[];
  /** 20 bytes */
  readonly appId: Hex;
  /** `k256` root public key of the KMS, compressed, 33 bytes. Without it the chain can at most be unchecked */
  readonly kmsRoot?: Hex | undefined;
  /** the app key, compressed, where evidence tells it: for guests without a KMS */
  readonly appKey?: Hex | undefined;
}

export interface KeyChainV0 extends ChainOfKey {
  /** as the app asked for it; of `Sign` it is `signing` */
  readonly purpose: string;
}

export interface KeyChainV1 extends ChainOfKey {
  readonly domain: string;
  readonly algorithm: 'secp256k1' | 'ed25519';
}

/** Who signed. The checks are `key-signature`, `app-key` and `kms-root`. */
export interface KeyChainResult {
  readonly verdict: Verdict;
  readonly checks: readonly Check[];
  /** compressed points in hex; null where nobody can be told */
  readonly app_key: string | null;
  readonly kms_root: string | null;
}

function check(given: ChainOfKey, claim: (publicKey: Uint8Array) => Uint8Array): KeyChainResult {
  const publicKey = hexBytes('publicKey', given.publicKey);
  if (publicKey.length !== 32 && publicKey.length !== 33) {
    const why = `publicKey has ${publicKey.length} bytes, neither 32 nor 33`;
    throw new DstackError('INPUT_INVALID', why, { field: 'publicKey', value: publicKey.length });
  }
  return checkKeyChain({
    claim: claim(publicKey),
    chain: given.chain.map((link, index) => hexBytes(`chain[${index}]`, link)),
    appId: hexBytes('appId', given.appId),
    kmsRoot: optionalHexBytes('kmsRoot', given.kmsRoot),
    appKey: optionalHexBytes('appKey', given.appKey),
  });
}

/** A key of the older interface (`GetKey` by path and purpose). @throws an error with a `code` for input of another form */
export const verifyKeyChainV0 = (given: KeyChainV0): KeyChainResult =>
  check(given, (publicKey) => keyClaimV0(given.purpose, publicKey));

/** A key of the guest API v1 (`GetKey` by domain and algorithm). @throws as `verifyKeyChainV0` */
export const verifyKeyChainV1 = (given: KeyChainV1): KeyChainResult =>
  check(given, (publicKey) => keyClaimV1(given.domain, given.algorithm, publicKey));
