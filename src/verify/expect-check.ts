/** Compares what the user expects with what the evidence proves. */
import { toHex } from '../codec/hex.ts';
import { bootEvents, EVENT } from '../tdx/events.ts';
import type { TdQuoteBody } from '../tdx/quote-layout.ts';
import { type Check, fail, pass, unknown } from './check.ts';
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
): Check[] {
  const checks: Check[] = [];
  for (const [name, wanted] of expect.values) {
    const found = measuredValue(name, body, identity, verified);
    const check = `expect ${name}`;
    if (found === undefined) checks.push(unknown(check, 'this evidence does not tell it'));
    else if (found !== wanted) checks.push(fail(check, `is ${found || 'empty'}, expected ${wanted}`));
    else if (name === 'os-image-hash' && provenImage !== found) {
      checks.push(pass(check, `${found}, as the host states it: no register proves it here`));
    } else checks.push(pass(check, found));
  }
  if (expect.keyProvider !== undefined) checks.push(keyProvider(expect.keyProvider, identity));
  for (const [event, wanted] of expect.events) checks.push(eventPin(event, wanted, rows));
  if (expect.predicted !== undefined) checks.push(prediction(expect.predicted, rows));
  return checks;
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
