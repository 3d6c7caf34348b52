/** What the user expects of a guest: `--expect NAME=VALUE`. */
import { fromHex, toHex } from '../codec/hex.ts';
import { Fields } from '../config/fields.ts';
import { parseStrictJsonBytes } from '../config/strict-json.ts';
import { DstackError } from '../errors.ts';
import { readSystemPins, type SystemPins } from '../os-image/os-image.ts';
import type { ExpectedEvent } from './event-rows.ts';

/** Names whose value is compared as hex. */
export const EXPECTABLE = [
  'app-id',
  'compose-hash',
  'instance-id',
  'device-id',
  'os-image-hash',
  'mr-system',
  'mr-aggregated',
  'mrtd',
  'rtmr0',
  'rtmr1',
  'rtmr2',
  'rtmr3',
  'mr-config-id',
  'mr-owner',
  'mr-owner-config',
  'mr-seam',
  'td-attributes',
  'report-data',
] as const;
export type ExpectableName = (typeof EXPECTABLE)[number];

export interface Expectations {
  /** lower-case hex by name */
  readonly values: ReadonlyMap<ExpectableName, string>;
  /** `none`, `local-sgx`, `tpm`, `kms`, with the provider's id in hex behind a colon or without */
  readonly keyProvider?: string;
  /** lower-case hex payloads by event name: each occurrence must have it, and it must occur */
  readonly events: ReadonlyMap<string, string>;
  /** the events of a prediction in their order */
  readonly predicted?: readonly ExpectedEvent[];
}

/** What `dstack-util measure --json` predicts of the app, of the system, or of both. */
export interface PinnedPrediction {
  readonly events?: readonly ExpectedEvent[];
  readonly system?: SystemPins;
}

/** Reads the output of `dstack-util measure --json`. @throws JSON_INVALID, DOCUMENT_INVALID */
export function parsePrediction(bytes: Uint8Array, path: string): PinnedPrediction {
  const fields = new Fields(parseStrictJsonBytes(bytes, path), { path });
  const system = fields.object('system');
  if (!fields.has('events') && system === undefined) fields.fail('events', 'is missing');
  const events = fields.objects('events').map((event) => {
    const payload = event.optionalHex('payload');
    return { event: event.string('event'), payload: payload === undefined ? null : toHex(payload) };
  });
  return {
    ...(fields.has('events') ? { events } : {}),
    ...(system === undefined ? {} : { system: readSystemPins(system) }),
  };
}

const REPORT_DATA_DIGITS = 128;

const bad = (text: string, why: string, cause?: unknown): DstackError =>
  new DstackError('INPUT_INVALID', `--expect ${JSON.stringify(text)} ${why}`, {
    field: '--expect',
    value: text,
    cause,
    hint: `NAME=HEX with one of ${EXPECTABLE.join(', ')}; key-provider=NAME[:HEX]; "event NAME=HEX"`,
  });

/**
 * Parses the values of `--expect`. Several pins may stand in one value, separated by commas, except pins of events.
 * @throws INPUT_INVALID
 */
export function parseExpectations(texts: readonly string[]): Expectations {
  const values = new Map<ExpectableName, string>();
  const events = new Map<string, string>();
  let keyProvider: string | undefined;
  const pins = texts.flatMap((text) => (/^\s*event[ :]/.test(text) ? [text] : text.split(',')));
  for (const text of pins.map((pin) => pin.trim()).filter((pin) => pin !== '')) {
    // an event name may contain the sign itself, a hex payload cannot
    const at = text.startsWith('event') ? text.lastIndexOf('=') : text.indexOf('=');
    if (at < 0) throw bad(text, 'is missing =');
    const name = text.slice(0, at).trim();
    const value = text.slice(at + 1).trim();
    const event = /^event[ :]\s*(.+)$/.exec(name)?.[1];
    if (event !== undefined) set(events, event, hexOf(text, value), text);
    else if (name.replaceAll('_', '-') === 'key-provider') {
      if (keyProvider !== undefined) throw bad(text, 'occurs twice');
      if (!/^(none|local-sgx|tpm|kms)(:[0-9a-f]*)?$/i.test(value)) throw bad(text, 'names no key provider');
      keyProvider = value.toLowerCase();
    } else set(values, expectable(text, name), hexOf(text, value, name), text);
  }
  return { values, events, ...(keyProvider === undefined ? {} : { keyProvider }) };
}

function set<K>(map: Map<K, string>, key: K, value: string, text: string): void {
  if (map.has(key)) throw bad(text, 'occurs twice');
  map.set(key, value);
}

function expectable(text: string, name: string): ExpectableName {
  const known = EXPECTABLE.find((candidate) => candidate === name.toLowerCase().replaceAll('_', '-'));
  if (known === undefined) throw bad(text, 'names nothing that can be expected');
  return known;
}

function hexOf(text: string, value: string, name?: string): string {
  try {
    const digits = toHex(fromHex(value, { prefix: true }));
    return name === 'report-data' || name === 'report_data' ? digits.padEnd(REPORT_DATA_DIGITS, '0') : digits;
  } catch (thrown) {
    throw bad(text, 'is not hex text', thrown);
  }
}
