/** The messages of the guest API v1 as its specification lists them: fields are numbered in the order of listing. */
import { expect, it } from 'vitest';
import { fieldsOf, type MessageName } from '../../src/codec/prpc-messages.ts';
import { SERVICES } from '../../src/codec/prpc-services.ts';

const CERTIFICATE =
  'subject string, alt_names repeated string, usage_ra_tls bool, usage_server_auth bool, usage_client_auth bool, ' +
  'not_before optional u64, not_after optional u64, with_app_info bool';
const MESSAGES: readonly (readonly [MessageName, string])[] = [
  ['IssueCertRequest', CERTIFICATE],
  ['IssueCertResponse', 'key string, certificate_chain repeated string'],
  ['GetKeyV1Request', 'domain string, algorithm string'],
  ['GetKeyV1Response', 'key bytes, public_key bytes, signature_chain repeated bytes'],
  ['AttestV1Request', 'report_data bytes, include_boottime_gpu_evidence bool'],
  ['AttestV1Response', 'attestation bytes, boottime_gpu_evidence repeated GpuEvidenceBundle'],
  ['AttestGpuRequest', 'nonce bytes'],
  ['AttestGpuResponse', 'bundles repeated GpuEvidenceBundle'],
  ['GpuEvidenceBundle', 'vendor string, format string, evidence bytes'],
  ['InfoV1Request', ''],
  [
    'InfoV1Response',
    'app_id bytes, app_name string, compose_hash bytes, app_compose string, instance_id bytes, device_id bytes, ' +
      'os_image_hash bytes, mr_aggregated bytes, vm_config string, key_provider_info string, cloud_vendor string, ' +
      'cloud_product string',
  ],
  ['VersionV1Request', ''],
  ['VersionV1Response', 'version string, rev string'],
  ['HealthRequest', ''],
  ['HealthResponse', 'healthy bool, unhealthy repeated ContainerHealth, error string'],
  ['ContainerHealth', 'name string, status string'],
];

/** `name kind type` in order of the numbers, which must be 1, 2, 3 and so on. */
const listed = (name: MessageName): string => {
  const fields = [...fieldsOf(name)].toSorted(([, a], [, b]) => a.no - b.no);
  expect(fields.map(([, { no }]) => no)).toEqual(fields.map((_, index) => index + 1));
  return fields
    .map(([key, { type, repeated, optional }]) =>
      [key, repeated ? 'repeated' : optional ? 'optional' : '', typeof type === 'object' ? type.message : type]
        .filter((word) => word !== '')
        .join(' '),
    )
    .join(', ');
};

it.each(MESSAGES)('%s has the fields of the specification', (name, fields) => expect(listed(name)).toBe(fields));

it('every method of v1 has the messages of the list', () => {
  const names = [SERVICES.DstackGuestV1, SERVICES.WorkerV1]
    .flatMap((methods) => Object.values(methods))
    .flatMap(({ request, response }) => [request, response]);
  const known: readonly string[] = MESSAGES.map(([name]) => name);
  expect(names.filter((name) => !known.includes(name))).toEqual([]);
  expect(Object.keys(SERVICES.DstackGuestV1)).toEqual([
    'IssueCert',
    'GetKey',
    'Attest',
    'AttestGpu',
    'Info',
    'Version',
  ]);
  expect(Object.keys(SERVICES.WorkerV1)).toEqual(['Info', 'Version', 'Health']);
});
