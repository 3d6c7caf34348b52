/**
 * The system's part of a prediction file: what `measure --json` writes under `system`, and what `verify --expect-measure`
 * reads there.
 */
import { toHex } from '../codec/hex.ts';
import type { Fields } from '../config/fields.ts';
import { EVENT_NAMES, type SystemEventName, type SystemPrediction, type SystemRegister } from './prediction.ts';

/** What a prediction file pins of the system; what was not known is undefined and pins nothing. */
export interface SystemPins {
  /** 32 bytes */
  readonly osImageHash: Uint8Array | undefined;
  /** 48 bytes */
  readonly mrtd: Uint8Array | undefined;
  /** RTMR0, RTMR1, RTMR2; 48 bytes each */
  readonly rtmrs: readonly [Uint8Array | undefined, Uint8Array | undefined, Uint8Array | undefined];
  /** in the order of extension within a register */
  readonly events: readonly PinnedEvent[];
}

export interface PinnedEvent {
  readonly register: SystemRegister;
  readonly name: SystemEventName;
  /** 48 bytes */
  readonly digest: Uint8Array | undefined;
  /** texts for a reader */
  readonly dependsOn: readonly string[];
}

const DIGEST_SIZE = 48;
const HASH_SIZE = 32;

const hexOrNull = (bytes: Uint8Array | undefined): string | null => (bytes === undefined ? null : toHex(bytes));

/** The value of `system`. @param osImageHash 32 bytes, when the image has a checksum file */
export function systemJson(prediction: SystemPrediction, osImageHash: Uint8Array | undefined): unknown {
  const { mrtd, rtmrs, unknown, assumed } = prediction;
  return {
    os_image_hash: hexOrNull(osImageHash),
    mrtd: toHex(mrtd.value),
    rtmr0: hexOrNull(rtmrs[0].value),
    rtmr1: hexOrNull(rtmrs[1].value),
    rtmr2: hexOrNull(rtmrs[2].value),
    events: rtmrs.flatMap(({ events }) =>
      events.map(({ register, name, eventType, digest, dependsOn }) => ({
        register,
        event: name,
        type: eventType,
        digest: hexOrNull(digest),
        depends_on: dependsOn,
      })),
    ),
    unknown,
    assumed,
  };
}

/** Reads the value of `system`. @throws DOCUMENT_INVALID naming the field */
export function readSystemPins(fields: Fields): SystemPins {
  const events = fields.objects('events').map((event: Fields): PinnedEvent => {
    const register = event.integer('register', 3, 3);
    if (register === 3) event.fail('register', 'must be 0, 1 or 2', event.raw('register'));
    const text = event.string('event');
    const name = EVENT_NAMES[register as SystemRegister].find((known) => known === text);
    if (name === undefined) event.fail('event', `is not an event of RTMR${register}`, text);
    return {
      register: register as SystemRegister,
      name,
      digest: event.optionalHex('digest', DIGEST_SIZE),
      dependsOn: event.strings('depends_on'),
    };
  });
  return {
    osImageHash: fields.optionalHex('os_image_hash', HASH_SIZE),
    mrtd: fields.optionalHex('mrtd', DIGEST_SIZE),
    rtmrs: [
      fields.optionalHex('rtmr0', DIGEST_SIZE),
      fields.optionalHex('rtmr1', DIGEST_SIZE),
      fields.optionalHex('rtmr2', DIGEST_SIZE),
    ],
    events,
  };
}
