/** Metrics of what stands between the app and its users: gateway, tunnel, certificates, KMS. Times are Unix seconds. */
import type { CertificateEnds } from '../figures/certificates.ts';
import type { GatewayReading } from '../figures/gateway-figures.ts';
import type { AgentState } from '../state.ts';
import { type Family, gauge, type Sample } from './family.ts';

/** @param reading undefined for an app that wants no gateway */
export function wayInFamilies(
  { kms }: Pick<AgentState, 'kms'>,
  reading: GatewayReading | undefined,
  certificates: CertificateEnds,
): Family[] {
  const record = reading?.record;
  const callers = [
    ['agent', kms.contact],
    ['gateway', record?.kms],
  ] as const;
  const contacts = (value: (contact: NonNullable<typeof kms.contact>) => number | undefined): Sample[] =>
    callers.map(([caller, contact]) => [contact && value(contact), { caller }]);
  const registered = reading?.registered;
  return [
    gauge('dstack_gateway_registered', '1 when the last registration with a gateway succeeded, for an app with one', [
      registered === undefined ? undefined : Number(registered),
    ]),
    gauge('dstack_gateway_registration_timestamp_seconds', 'Unix time of the last registration that succeeded', [
      record?.registeredAt,
    ]),
    gauge(
      'dstack_gateway_registration_attempt_timestamp_seconds',
      'Unix time of the last registration that was tried',
      [record?.attemptedAt],
    ),
    gauge('dstack_gateway_registration_failures', 'Registrations that failed since the last one that succeeded', [
      record?.failures,
    ]),
    gauge(
      'dstack_wireguard_latest_handshake_timestamp_seconds',
      'Unix time of the latest handshake with a gateway; 0 before the first one',
      ...[...(reading?.handshakes ?? [])].map(([peer, seconds]): Sample => [seconds, { peer }]),
    ),
    gauge(
      'dstack_certificate_expiration_timestamp_seconds',
      'Unix time of the end of a certificate',
      ...[...certificates].map(([certificate, end]): Sample => [end, { certificate }]),
    ),
    gauge(
      'dstack_kms_last_call_success',
      '1 when the last call to the KMS succeeded; guests call it only when they need it',
      ...contacts(({ outcome }) => Number(outcome === 'ok')),
    ),
    gauge(
      'dstack_kms_last_call_timestamp_seconds',
      'Unix time of the last call to the KMS',
      ...contacts(({ at }) => at),
    ),
    gauge(
      'dstack_kms_last_success_timestamp_seconds',
      'Unix time of the last call to the KMS that succeeded',
      ...contacts(({ succeededAt }) => succeededAt),
    ),
  ];
}
