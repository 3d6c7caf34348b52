/**
 * What requests may say beyond their types, for the OpenAPI document. The limits are those of the code that checks them;
 * nothing here is checked by itself, and a test asks the agent whether it takes what the document allows, and only that.
 */

import type { ErrorCode } from '../../errors.ts';
import { KEY_ALGORITHM_NAMES } from '../../keys/get-key.ts';
import { KEY_ALGORITHM_NAMES_V1 } from '../../keys/get-key-v1.ts';
import { HASH_NAMES } from '../../keys/report-data.ts';
import {
  APP_KEY_ALGORITHM_NAMES,
  DIGEST_LENGTH,
  PUBLIC_KEY_LENGTHS,
  SIGN_ALGORITHM_NAMES,
  SIGNATURE_LENGTH,
} from '../../keys/sign.ts';
import { BOOT_EVENT_NAMES } from '../../tdx/events.ts';
import { REPORT_DATA_SIZE } from '../../tdx/report.ts';
import { ALT_NAME, LAST_TIME } from '../../x509/x509.ts';
import { NONCE_BYTES } from '../services/gpu-evidence.ts';

export interface FieldRule {
  /** bytes: how many, at most or exactly one of these numbers */
  readonly bytes?: { readonly most: number } | readonly number[];
  readonly oneOf?: readonly string[];
  readonly noneOf?: readonly string[];
  readonly minLength?: number;
  readonly maximum?: number;
  /** of each item of a list */
  readonly pattern?: string;
  /** its default is refused */
  readonly required?: true;
}

export interface RequestRule {
  readonly fields?: Readonly<Record<string, FieldRule>>;
  /** where one field has this value, another one has a rule of its own */
  readonly when?: { readonly field: string; readonly is: string; readonly fields: Readonly<Record<string, FieldRule>> };
  /** what is refused although the schema allows it: code of the error and why */
  readonly refusals?: Partial<Record<ErrorCode, string>>;
}

const REPORT_DATA: RequestRule = { fields: { report_data: { bytes: { most: REPORT_DATA_SIZE } } } };
const CERTIFICATE: RequestRule = {
  fields: {
    alt_names: { pattern: ALT_NAME.source },
    not_before: { maximum: LAST_TIME },
    not_after: { maximum: LAST_TIME },
  },
  refusals: { INPUT_INVALID: 'not_before is not earlier than not_after' },
};
const KEY: RequestRule = { fields: { algorithm: { oneOf: KEY_ALGORITHM_NAMES } } };
const SIGN_ALGORITHM: FieldRule = { oneOf: SIGN_ALGORITHM_NAMES, required: true };

/** By `Service.Method`. */
export const REQUEST_RULES: Readonly<Record<string, RequestRule>> = {
  'DstackGuest.GetTlsKey': CERTIFICATE,
  'DstackGuest.GetKey': KEY,
  'DstackGuest.GetQuote': REPORT_DATA,
  'DstackGuest.Attest': REPORT_DATA,
  'DstackGuest.EmitEvent': {
    fields: { event: { minLength: 1, noneOf: BOOT_EVENT_NAMES, required: true } },
    refusals: { TEE_NOT_FOUND: 'evidence of a simulator cannot measure events' },
  },
  'DstackGuest.Sign': {
    fields: { algorithm: SIGN_ALGORITHM },
    when: {
      field: 'algorithm',
      is: 'secp256k1_prehashed',
      fields: { data: { bytes: [DIGEST_LENGTH], required: true } },
    },
    refusals: { INPUT_INVALID: 'secp256k1_prehashed with another length than 32 bytes, where a query cannot say so' },
  },
  'DstackGuest.Verify': {
    fields: {
      algorithm: SIGN_ALGORITHM,
      signature: { bytes: [SIGNATURE_LENGTH], required: true },
      public_key: { bytes: PUBLIC_KEY_LENGTHS, required: true },
    },
    refusals: { KEY_INVALID: 'the bytes are not a public key, or not a signature, of the algorithm' },
  },
  'DstackGuestV1.IssueCert': CERTIFICATE,
  'DstackGuestV1.GetKey': { fields: { algorithm: { oneOf: KEY_ALGORITHM_NAMES_V1, required: true } } },
  'DstackGuestV1.Attest': REPORT_DATA,
  'DstackGuestV1.AttestGpu': { fields: { nonce: { bytes: [NONCE_BYTES], required: true } } },
  'Tappd.DeriveKey': { fields: { alt_names: { pattern: ALT_NAME.source } } },
  'Tappd.DeriveK256Key': KEY,
  'Tappd.TdxQuote': {
    fields: { hash_algorithm: { oneOf: HASH_NAMES } },
    when: {
      field: 'hash_algorithm',
      is: 'raw',
      fields: { report_data: { bytes: [REPORT_DATA_SIZE], required: true } },
    },
    refusals: { REPORT_DATA_INVALID: 'raw with another length than 64 bytes, where a query cannot say so' },
  },
  'Tappd.RawQuote': { fields: { report_data: { bytes: [REPORT_DATA_SIZE], required: true } } },
  'Worker.GetAttestationForAppKey': { fields: { algorithm: { oneOf: APP_KEY_ALGORITHM_NAMES, required: true } } },
  'GuestApi.ListContainers': { refusals: { DOCKER_UNAVAILABLE: 'docker does not answer' } },
  'GuestApi.Shutdown': { refusals: { RPC_REQUEST_INVALID: 'a simulator does not power its machine off' } },
};
