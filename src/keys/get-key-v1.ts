/**
 * GetKey of the guest API v1: keys named by domain and algorithm, unrelated to those of the older interface. Everything that
 * is hashed is a list of fields with their lengths, so no domain can be mistaken for another one or for an algorithm.
 * Source: dstack guest API v1, key derivation and signature chain.
 */
import { DstackError } from '../errors.ts';
import { cutText, printable } from '../printable.ts';
import { deriveKey, utf8Part } from './derive.ts';
import { type DerivedKey, type KeyAlgorithm, type SigningKeys, withSignatureChain } from './get-key.ts';
import { keyClaimV1, lengthPrefixed } from './signature-chain.ts';

const SALT = Buffer.from('dstack-guest-v1', 'ascii');
const KEY_TAG = utf8Part('dstack-guest-v1-key');
/** characters of a wrong name that an error repeats */
const MAX_NAME_SHOWN = 64;

/** The only names of the algorithms: no default and no alias. */
export const KEY_ALGORITHM_NAMES_V1: readonly KeyAlgorithm[] = ['secp256k1', 'ed25519'];

/** The algorithm of a name. @throws ALGORITHM_UNSUPPORTED */
export function keyAlgorithmV1(algorithm: string): KeyAlgorithm {
  const kind = KEY_ALGORITHM_NAMES_V1.find((known) => known === algorithm);
  if (kind !== undefined) return kind;
  const name = cutText(printable(algorithm), MAX_NAME_SHOWN);
  const given = algorithm === '' ? 'and is missing' : `not "${name}"`;
  throw new DstackError('ALGORITHM_UNSUPPORTED', `algorithm must be secp256k1 or ed25519, ${given}`, {
    field: 'algorithm',
    value: algorithm,
  });
}

/**
 * Derives the key of a domain. Derivation is flat: `a/b` has nothing to do with `a`.
 * @param domain any text, an empty one too
 * @returns key 32 bytes (scalar or seed), public key 33 or 32 bytes, chain of two signatures
 * @throws ALGORITHM_UNSUPPORTED; KEY_INVALID for a scalar that is zero or not below the order: it is not reduced
 */
export async function getKeyV1(keys: SigningKeys, domain: string, algorithm: string): Promise<DerivedKey> {
  const kind = keyAlgorithmV1(algorithm);
  const name = [utf8Part(kind), utf8Part(domain)];
  const key = deriveKey(keys.k256Key, [lengthPrefixed(KEY_TAG, ...name)], 32, SALT);
  return withSignatureChain(keys, kind, key, (publicKey) => keyClaimV1(domain, kind, publicKey));
}
