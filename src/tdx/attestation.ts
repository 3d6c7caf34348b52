/**
 * Attestations: a quote with everything a verifier needs to interpret it (dstack keys and certificates, versioned
 * attestation bytes). One shape in memory, two encodings: V0 (SCALE) and V1 (msgpack).
 */
import { perObject } from '../codec/per-object.ts';
import { DstackError } from '../errors.ts';
import type { Attestation } from './attestation-shape.ts';
import { decodeV0, encodeV0 } from './attestation-v0.ts';
import { decodeV1, encodeV1 } from './attestation-v1.ts';
import { isAcpiData, isRuntimeEvent, type TdxEvent, withPreimage } from './tdx-event.ts';

export type { Attestation, Platform } from './attestation-shape.ts';

export type AttestationForm = 'V0' | 'V1';

/** Largest accepted attestation in bytes. */
export const ATTESTATION_LIMIT = 10_485_760;

export { decodeV0, decodeV1, encodeV0, encodeV1 };

/** The form in which a fresh attestation travels: V0 if every runtime event has version 1, else V1. */
export function naturalForm(attestation: Attestation): AttestationForm {
  const plain = attestation.runtimeEvents.every(({ version }) => version === 1);
  return plain && attestation.reportDataPayload === undefined ? 'V0' : 'V1';
}

/** Versioned bytes, in the natural form unless another one is asked for. @throws ATTESTATION_INVALID (V0 of a V1-only content) */
export function encodeVersioned(
  attestation: Attestation,
  form: AttestationForm = naturalForm(attestation),
): Uint8Array {
  return form === 'V0' ? encodeV0(attestation) : encodeV1(attestation);
}

/** Decodes versioned bytes by their first byte. @throws ATTESTATION_INVALID */
export function decodeVersioned(bytes: Uint8Array): { form: AttestationForm; attestation: Attestation } {
  const first = bytes[0];
  if (first === undefined) throw new DstackError('ATTESTATION_INVALID', 'attestation is empty');
  if (bytes.length > ATTESTATION_LIMIT) {
    throw new DstackError(
      'ATTESTATION_INVALID',
      `attestation has ${bytes.length} bytes, at most ${ATTESTATION_LIMIT}`,
      {
        field: 'size',
        value: bytes.length,
      },
    );
  }
  if (first === 0) return { form: 'V0', attestation: decodeV0(bytes) };
  if ((first >= 0x80 && first <= 0x8f) || first === 0xde || first === 0xdf) {
    return { form: 'V1', attestation: decodeV1(bytes) };
  }
  throw new DstackError(
    'ATTESTATION_INVALID',
    `attestation starts with byte 0x${first.toString(16).padStart(2, '0')}`,
    {
      field: 'version',
      value: first,
    },
  );
}

/**
 * The form for certificates: of the event log only what a verifier of the app needs, i.e. the ACPI table events (plain
 * TDX) and RTMR3. Digests of version 1 runtime events are dropped, the verifier computes them. Version 2 events keep the
 * digest and get their preimage: a verifier refuses them otherwise, which the reference's own certificates run into.
 */
export function strip(attestation: Attestation): Attestation {
  const { platform } = attestation;
  if (platform.kind !== 'tdx' && platform.kind !== 'gcp-tdx') return attestation;
  return { ...attestation, platform: { ...platform, eventLog: strippedLogs(platform.eventLog)[platform.kind] } };
}

const strippedLogs = perObject((log: readonly TdxEvent[]) => ({
  tdx: stripLog(log, true),
  'gcp-tdx': stripLog(log, false),
}));

function stripLog(log: readonly TdxEvent[], keepAcpi: boolean): TdxEvent[] {
  return log
    .filter((event) => event.imr === 3 || (keepAcpi && isAcpiData(event)))
    .map((event): TdxEvent => {
      if (event.imr !== 3) return event;
      if (!isRuntimeEvent(event)) return { ...event, payload: new Uint8Array() };
      return event.version === 2 ? withPreimage(event) : { ...event, digest: new Uint8Array() };
    });
}

/**
 * Rewrites versioned bytes into the other form. V0 to V1 loses nothing; V1 to V0 works only for what V0 can hold.
 * @throws ATTESTATION_INVALID
 */
export function project(bytes: Uint8Array, form: AttestationForm): Uint8Array {
  const decoded = decodeVersioned(bytes);
  return decoded.form === form ? bytes : encodeVersioned(decoded.attestation, form);
}

/** The TDX quote inside. @throws ATTESTATION_INVALID on other platforms */
export function tdxQuote(attestation: Attestation): Uint8Array {
  const { platform } = attestation;
  if (platform.kind === 'tdx' || platform.kind === 'gcp-tdx') return platform.quote;
  throw new DstackError('ATTESTATION_INVALID', `attestation of platform ${platform.kind} has no TDX quote`, {
    field: 'platform',
    value: platform.kind,
  });
}

/** The event log inside, empty on platforms without one. */
export function tdxEventLog(attestation: Attestation): readonly TdxEvent[] {
  const { platform } = attestation;
  return platform.kind === 'tdx' || platform.kind === 'gcp-tdx' ? platform.eventLog : [];
}
