/**
 * The sealing key of the host: a secret that an SGX enclave on the same machine gives to this guest, and to nobody else,
 * for evidence of what the guest is (dstack services, local key provider).
 */
import { createHash, randomBytes } from 'node:crypto';
import { fromHex, toHex } from '../codec/hex.ts';
import { x25519PublicKey } from '../codec/x25519.ts';
import { DstackError } from '../errors.ts';
import { openSealedBox } from '../keys/sealed-box.ts';
import { wipe } from '../sys/files.ts';
import { parseSgxQuote, verifySgxQuote } from '../verify/verify.ts';
import { type BootClock, bootClock } from './boot-clock.ts';
import { collateralOf } from './fetch-collateral.ts';
import { callJson } from './prpc-client.ts';

/** Limit for the host's answer, and for the collateral. */
const TIMEOUT_MS = 30_000;
const KEY_LENGTH = 32;

export interface SealingKeyRequest {
  /** `host_api_url` of .sys-config.json */
  readonly hostApiUrl: string | undefined;
  /** takes a TDX quote over 64 bytes of report data */
  readonly quote: (reportData: Uint8Array) => Promise<Uint8Array>;
  /** service with Intel's collateral; empty = the public default */
  readonly pccsUrl?: string | undefined;
  /** for tests only: a root to trust instead of Intel's. No configuration leads here: the host must not choose it */
  readonly rootCa?: Uint8Array;
  /** default that of this machine */
  readonly clock?: BootClock;
}

export interface SealingKey {
  /** 32 bytes, secret: the caller wipes it */
  readonly seed: Uint8Array;
  /** MRENCLAVE of the provider, 32 bytes */
  readonly mr: Uint8Array;
}

export const noHost = (): DstackError =>
  new DstackError('HOST_API_UNREACHABLE', 'no host_api_url is set, and key provider local asks the host', {
    field: 'host_api_url',
  });

/**
 * Asks the host for the sealing key of this guest.
 *
 * Our X25519 key is in the report data of the quote, so the provider knows to whom it seals; the hash of what it sealed
 * is in the report data of its own quote, so we know who sealed it.
 * @throws HOST_API_UNREACHABLE, HOST_API_FAILED, EVIDENCE_INVALID, COLLATERAL_UNAVAILABLE, COLLATERAL_INVALID, KEY_INVALID,
 *   CLOCK_BEHIND
 */
export async function requestSealingKey(request: SealingKeyRequest): Promise<SealingKey> {
  const { hostApiUrl, quote, pccsUrl, rootCa, clock = bootClock } = request;
  if (!hostApiUrl) throw noHost();
  const secret = new Uint8Array(randomBytes(KEY_LENGTH));
  try {
    const reportData = new Uint8Array(64);
    reportData.set(x25519PublicKey(secret));
    const body = { quote: toHex(await quote(reportData)) };
    const { encryptedKey, providerQuote } = readSealingAnswer(
      await callJson(hostApiUrl, 'GetSealingKey', body, { timeoutMs: TIMEOUT_MS }),
    );
    const bound = createHash('sha256').update(encryptedKey).digest();
    if (!bound.equals(parseSgxQuote(providerQuote).reportData.subarray(0, bound.length))) {
      throw new DstackError(
        'KEY_INVALID',
        'invalid key hash: the report data of the provider is not the hash of this sealing key',
      );
    }
    const collateral = await collateralOf(providerQuote, { pccs: pccsUrl, timeoutMs: TIMEOUT_MS });
    const now = await clock.now();
    let issued: Parameters<BootClock['saw']> | undefined;
    const provider = await verifySgxQuote(providerQuote, {
      collateral,
      rootCa,
      now,
      signed: (date, what) => {
        issued = [date, what];
      },
    });
    if (issued !== undefined) await clock.saw(...issued);
    const seed = openSealedBox(encryptedKey, secret);
    if (seed.length !== KEY_LENGTH) {
      wipe(seed);
      throw new DstackError('KEY_INVALID', `the sealing key has ${seed.length} bytes instead of ${KEY_LENGTH}`);
    }
    return { seed, mr: provider.mrEnclave };
  } finally {
    wipe(secret);
  }
}

/** @throws HOST_API_FAILED, HEX_INVALID */
export function readSealingAnswer(answer: unknown): { encryptedKey: Uint8Array; providerQuote: Uint8Array } {
  const bytes = (field: string): Uint8Array => {
    const value = (answer as Record<string, unknown> | null)?.[field];
    if (typeof value !== 'string') {
      throw new DstackError('HOST_API_FAILED', `GetSealingKey answered without ${field}`, { field });
    }
    return fromHex(value, { field, prefix: true, secret: true });
  };
  return { encryptedKey: bytes('encrypted_key'), providerQuote: bytes('provider_quote') };
}
