/**
 * Which expectations say what the app is. Evidence of a genuine machine that runs any app proves nothing to somebody who
 * meant one app, so that without such a pin the verdict stays open.
 */
import { EVENT } from '../tdx/events.ts';
import { type Check, note, pass, unknown } from './check.ts';
import type { Expectations } from './expectations.ts';
import type { Identity } from './identity-check.ts';

/** What the boot measured of the app itself: the hash of its document, and the id under which it gets its keys. */
const OF_APP = ['compose-hash', 'app-id'] as const;
/** Values that the app went into: they name it only where the events that led to them are known, too. */
const THROUGH_EVENTS = ['rtmr3', 'mr-aggregated', 'mr-config-id'] as const;

const isZero = (digits: string): boolean => /^0*$/.test(digits);

/** Pins that name an app by themselves, as a person writes them. A value that is empty or zero names none. */
function direct({ values, events, predicted }: Expectations): string[] {
  const named = (payload: string | null | undefined): boolean => typeof payload === 'string' && !isZero(payload);
  return [
    ...OF_APP.filter((name) => named(values.get(name))),
    ...OF_APP.filter((name) => named(events.get(name))).map((name) => `event ${name}`),
    ...((predicted ?? []).some(({ event, payload }) => (OF_APP as readonly string[]).includes(event) && named(payload))
      ? ['the predicted events']
      : []),
  ];
}

const indirect = ({ values }: Expectations): string[] =>
  THROUGH_EVENTS.filter((name) => !isZero(values.get(name) ?? ''));

/** Every pin that may say which app is expected. */
export const appPins = (expect: Expectations): string[] => [...direct(expect), ...indirect(expect)];

/**
 * One check `expect-app`: whether the demands say which app the guest must run. Whether the guest does is said by the checks of
 * the demands themselves.
 * @param checks all others: a register counts only when the event log explains it
 * @param anyApp the user accepts any app
 */
export function checkAppPin(
  expect: Expectations,
  checks: readonly Check[],
  identity: Identity | undefined,
  anyApp: boolean,
): Check {
  const name = 'expect-app';
  const good = (check: string): boolean => checks.some((c) => c.name === check && c.outcome === 'pass');
  const explained = good('rtmr3-replay') && identity !== undefined && identity.info.composeHash.length > 0;
  const through = indirect(expect).filter((pin) => explained && (pin !== 'mr-config-id' || good('mr-config')));
  const pins = [...direct(expect), ...through];
  if (pins.length > 0) return pass(name, `pinned by ${pins.join(', ')}`);
  if (anyApp) return note(name, 'any app is accepted, as you said');
  const [weak] = indirect(expect);
  return unknown(
    name,
    weak === undefined
      ? `nothing says which app you expect: --expect-file, --expect-measure, --expect ${EVENT.appId}=..., or --any-app`
      : `${weak} is pinned, but nothing here shows which app stands behind it: an event log that replays does`,
  );
}
