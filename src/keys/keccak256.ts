/** Apart from the curve, which takes longer to load. */
import { keccak_256 } from '@noble/hashes/sha3';

/** Keccak with the original padding (Ethereum), not SHA3-256. */
export const keccak256 = (data: Uint8Array): Uint8Array => keccak_256(data);
