/** Versioned attestations, both forms, and what is read out of them. */

import { decodeAppInfo } from '../../../src/tdx/app-identity.ts';
import { decodeVersioned, encodeVersioned, strip } from '../../../src/tdx/attestation.ts';
import { attestationInfo, attestationJson } from '../../../src/tdx/attestation-view.ts';
import { type FuzzTarget, same } from '../target.ts';

const target: FuzzTarget = {
  limit: 1_048_576,
  dictionary: [
    Uint8Array.of(0, 0),
    Uint8Array.of(0, 1),
    Uint8Array.of(0, 2, 0),
    Uint8Array.of(0, 3),
    Uint8Array.of(0, 4, 0),
    Uint8Array.of(0xfe, 0xff, 0x03, 0),
    Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(0xdf, 0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(0xc6, 0xff, 0xff, 0xff, 0xff),
    '\xa7version\x01',
    '\xa8platform\x82\xa4kind\xa3tdx\xa4data\x82\xa5quote\x90\xa9event_log\x90',
    '\xa7gcp-tdx',
    '\xa9tpm_quote',
    '\xadnitro-enclave',
    '\xa9nsm_quote',
    '\xadaws-nitro-tpm',
    '\xa7sev-snp',
    '\xaacert_chain',
    '\xa5stack\x82\xa4kind\xa6dstack\xa4data',
    '\xaadstack-pod',
    '\xb3report_data_payload',
    '{"os_image_hash":"ab"}',
    '{"vm_config":"{}"}',
  ].map((token) => (typeof token === 'string' ? Uint8Array.from(Buffer.from(token, 'latin1')) : token)),
  run(input) {
    const { form, attestation } = decodeVersioned(input);
    const bytes = encodeVersioned(attestation, form);
    // SCALE has one encoding for a value, msgpack has several
    if (form === 'V0') same('V0 and back', bytes, input);
    same(`${form} and back`, decodeVersioned(bytes).attestation, attestation);
    if (form === 'V0') same('V0 as V1', decodeVersioned(encodeVersioned(attestation, 'V1')).attestation, attestation);
    const stripped = strip(attestation);
    const view = { form: 'V1' as const, attestation: stripped, bytes };
    decodeVersioned(encodeVersioned(stripped, 'V1'));
    attestationInfo(view);
    attestationJson(view);
    decodeAppInfo(attestation);
  },
};
export default target;
