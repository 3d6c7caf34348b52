/** Compares what the user expects with what the evidence proves. */
import { toHex } from '../codec/hex.ts';
import { bootEvents, EVENT } from '../tdx/events.ts';
import type { TdQuoteBody } from '../tdx/quote-layout.ts';
import { type Check, fail, ofPart, type Part, type PartCheck, pass, unknown } from './check.ts';
import { type EventRow, type ExpectedEvent, firstDrift, isBootStep } from './event-rows.ts';
import type { ExpectableName, Expectations } from './expectations.ts';
import type { Identity } from './identity-check.ts';

/**
 * @param verified the quote is genuine: only then a device id means anything
 * @param provenImage os_image_hash that the registers prove, hex
 */
export function checkExpectations(
  expect: Expectations,
  body: TdQuoteBody,
  identity: Identity | undefined,
  rows: readonly EventRow[] | undefined,
  verified: boolean,
  provenImage: string | undefined,
): PartCheck[] {
  const values = [...expect.values].flatMap(([name, wanted]) =>
    ofPart(PART[name] ?? 'app', [valuePin(name, wanted, measuredValue(name, body, identity, verified), provenImage)]),
  );
  const others: Check[] = [];
  if (expect.keyProvider !== undefined) others.push(keyProvider(expect.keyProvider, identity));
  for (const [event, wanted] of expect.events) others.push(eventPin(event, wanted, rows));
  if (expect.predicted !== undefined) others.push(prediction(expect.predicted, rows));
  return [...values, ...ofPart('app', others)];
}

/** What a value tells something about, where that is not the app. */
const PART: Readonly<Partial<Record<ExpectableName, Part>>> = {
  'device-id': 'machine',
  'mr-seam': 'machine',
  'td-attributes': 'machine',
  'os-image-hash': 'system',
  'mr-system': 'system',
  mrtd: 'system',
  rtmr0: 'system',
  rtmr1: 'system',
  rtmr2: 'system',
  'report-data': 'fresh',
};

function valuePin(
  pin: ExpectableName,
  wanted: string,
  found: string | undefined,
  provenImage: string | undefined,
): Check {
  const name = `expect ${pin}`;
  // the registers prove it, whatever the host states or leaves out
  if (pin === 'os-image-hash' && provenImage === wanted) return pass(name, wanted);
  if (found === undefined || (pin === 'os-image-hash' && found === '')) {
    return unknown(name, 'this evidence does not tell it');
  }
  if (found !== wanted) return fail(name, `is ${found || 'empty'}, expected ${wanted}`);
  if (pin === 'os-image-hash') {
    return unknown(name, `${found} is what the host states, and no register proves it here: name the image`);
  }
  return pass(name, found);
}

/** Events that differ from the prediction are drifts of their own; here is what is missing at the end. */
function prediction(predicted: readonly ExpectedEvent[], rows: readonly EventRow[] | undefined): Check {
  const name = 'expect measure';
  if (rows === undefined) return unknown(name, 'this form carries no event log');
  const missing = predicted[rows.length];
  if (missing !== undefined) return fail(name, `event ${rows.length + 1} (${missing.event}) was not measured`);
  const drift = firstDrift(rows.slice(0, predicted.length));
  if (drift !== undefined) return fail(name, drift);
  return pass(name, `the first ${predicted.length} events are as predicted`);
}

function measuredValue(
  name: ExpectableName,
  body: TdQuoteBody,
  identity: Identity | undefined,
  verified: boolean,
): string | undefined {
  const info = identity?.info;
  const bytes: Readonly<Record<ExpectableName, Uint8Array | undefined>> = {
    'app-id': info?.appId,
    'compose-hash': info?.composeHash,
    'instance-id': info?.instanceId,
    'device-id': verified ? info?.deviceId : undefined,
    'os-image-hash': info?.osImageHash,
    'mr-system': info?.mrSystem,
    'mr-aggregated': info?.mrAggregated,
    mrtd: body.mrtd,
    rtmr0: body.rtmrs[0],
    rtmr1: body.rtmrs[1],
    rtmr2: body.rtmrs[2],
    rtmr3: body.rtmrs[3],
    'mr-config-id': body.mrConfigId,
    'mr-owner': body.mrOwner,
    'mr-owner-config': body.mrOwnerConfig,
    'mr-seam': body.mrSeam,
    'td-attributes': body.tdAttributes,
    'report-data': body.reportData,
  };
  const value = bytes[name];
  return value === undefined ? undefined : toHex(value);
}

function keyProvider(wanted: string, identity: Identity | undefined): Check {
  const name = 'expect key-provider';
  const found = identity?.keyProvider;
  if (found === undefined) return unknown(name, 'this evidence does not tell it');
  const full = `${found.name}:${found.id}`;
  const matches = wanted.includes(':') ? full === wanted : found.name === wanted;
  return matches ? pass(name, full) : fail(name, `is ${full}, expected ${wanted}`);
}

function eventPin(event: string, wanted: string, rows: readonly EventRow[] | undefined): Check {
  const name = `expect event ${event}`;
  if (rows === undefined) return unknown(name, 'this form carries no event log');
  const found = rows.filter((row) => row.event === event);
  const other = found.find(({ payload }) => toHex(payload) !== wanted);
  if (found.length === 0) return fail(name, 'it was never measured');
  const ofBoot = event === EVENT.systemReady || bootEvents(rows).some((row) => row.event === event);
  if (isBootStep(event) && !ofBoot) return fail(name, 'the boot did not measure it, the app did later');
  if (other !== undefined) return fail(name, `event ${other.index} has ${toHex(other.payload) || 'an empty payload'}`);
  return pass(name, wanted || 'empty payload');
}
