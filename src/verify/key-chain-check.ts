/**
 * The signature chain of a key that an app shows: from the key to the app's own key, from there to the root of a KMS. Source:
 * dstack keys and certificates, GetKey; guest API v1, signature chain.
 */
import { toHex } from '../codec/hex.ts';
import { DstackError, errorChain } from '../errors.ts';
import { keccak256, recoverPublicKey } from '../keys/secp256k1.ts';
import { appKeyClaim } from '../keys/signature-chain.ts';
import { type Check, fail, note, pass, unknown, type Verdict, verdictOf } from './check.ts';

export interface KeyChain {
  /** what the first link signs: `keyClaimV0` or `keyClaimV1` */
  readonly claim: Uint8Array;
  /** [signature of the app key, signature of the KMS over the app key]: 65 bytes each, the second empty without a KMS */
  readonly chain: readonly Uint8Array[];
  /** 20 bytes: the app that the KMS must have named */
  readonly appId: Uint8Array;
  /** compressed points, 33 bytes: who must stand at the end, and the app key where it is known from evidence */
  readonly kmsRoot?: Uint8Array | undefined;
  readonly appKey?: Uint8Array | undefined;
}

export interface KeyChainReport {
  readonly verdict: Verdict;
  /** `key-signature`, `app-key`, `kms-root` */
  readonly checks: readonly Check[];
  /** who signed, hex of compressed points; null where nobody can be told */
  readonly app_key: string | null;
  readonly kms_root: string | null;
}

/** Judges a chain. Never throws for what the chain holds. @throws INPUT_INVALID for an app id or a point of another length */
export function checkKeyChain(given: KeyChain): KeyChainReport {
  lengthOf('appId', given.appId, 20);
  lengthOf('kmsRoot', given.kmsRoot, 33);
  lengthOf('appKey', given.appKey, 33);
  const [first, second = new Uint8Array()] = given.chain;
  if (first === undefined || given.chain.length > 2) {
    return ended([fail('key-signature', `the chain has ${given.chain.length} links, not two`)]);
  }
  let appKey: Uint8Array;
  try {
    appKey = recoverPublicKey(first, keccak256(given.claim));
  } catch (thrown) {
    return ended([fail('key-signature', errorChain(thrown))]);
  }
  // any signature leads to some key: only what is behind it proves that this is the app's
  const checks = [
    note('key-signature', `the key ${toHex(appKey)} signed the public key`),
    ...appKeyCheck(given, appKey),
  ];
  if (second.length === 0) {
    const proven = given.appKey !== undefined;
    if (!proven || given.kmsRoot !== undefined) {
      checks.push(unknown('kms-root', 'no KMS signed the app key: only evidence of the guest proves it'));
    }
    return ended(checks, appKey);
  }
  let root: Uint8Array;
  try {
    root = recoverPublicKey(second, keccak256(appKeyClaim(given.appId, appKey)));
  } catch (thrown) {
    return ended([...checks, fail('kms-root', errorChain(thrown))], appKey);
  }
  return ended([...checks, rootCheck(given.kmsRoot, root)], appKey, root);
}

function lengthOf(field: string, bytes: Uint8Array | undefined, length: number): void {
  if (bytes === undefined || bytes.length === length) return;
  throw new DstackError('INPUT_INVALID', `${field} has ${bytes.length} bytes, not ${length}`, { field });
}

function appKeyCheck({ appKey: wanted }: KeyChain, found: Uint8Array): Check[] {
  if (wanted === undefined) return [];
  if (toHex(wanted) === toHex(found)) return [pass('app-key', 'the app key is the expected one')];
  return [fail('app-key', `the app key is ${toHex(found)}, expected is ${toHex(wanted)}`)];
}

function rootCheck(wanted: Uint8Array | undefined, found: Uint8Array): Check {
  const name = 'kms-root';
  if (wanted === undefined) return unknown(name, `the chain ends at ${toHex(found)}: which root to trust was not said`);
  if (toHex(wanted) === toHex(found)) return pass(name, 'the expected root signed the app key for this app');
  return fail(name, `the chain ends at ${toHex(found)}, expected is ${toHex(wanted)}`);
}

const ended = (checks: readonly Check[], appKey?: Uint8Array, root?: Uint8Array): KeyChainReport => ({
  verdict: verdictOf(checks),
  checks,
  app_key: appKey === undefined ? null : toHex(appKey),
  kms_root: root === undefined ? null : toHex(root),
});
