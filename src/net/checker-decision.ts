/**
 * When the gateway checker registers again. A pure function of what is known, so that it can be tested second by second
 * and run for a whole fleet in virtual time (`npm run bench -- fleet`). Source: dstack boot order, gateway checker.
 *
 * Times are seconds of any clock that only moves forward. Jitter is ours: `spread` is drawn again for each wait and makes
 * it longer by up to a part of itself. Ours too is the early look at a tunnel that is about to be given up (`staleAfter`).
 * With spread 0 and without `staleAfter` the decisions are exactly those of the deployed checker.
 */

/** the checker looks this often */
export const POLL_S = 10;
/** without a configuration: first wait, and the longest one after failures */
const RETRY_S = 30;
const MAX_RETRY_S = 120;
/** a working tunnel is registered again this often, and one without a handshake for this long by force */
const REFRESH_S = 180;
/**
 * A tunnel that works has a handshake younger than this: the guest makes a new one with the first packet after 120 s
 * (WireGuard paper, section 6.1, Rekey-After-Time), and a keepalive is sent every 25 s. An older one was not answered.
 */
export const STALE_S = 150;
/** largest part of a wait that jitter adds; a silent tunnel waits less, as somebody misses it */
const MAX_SPREAD = 0.5;
const MAX_FORCE_SPREAD = 1 / 6;

export interface CheckerState {
  /** end of the last refresh */
  readonly lastAttempt: number | undefined;
  /** end of the last forced one */
  readonly lastForce: number | undefined;
  /** since when there is a configuration, but no handshake was ever seen */
  readonly missingSince: number | undefined;
  /** failed refreshes in a row */
  readonly failures: number;
  /** 0 (no jitter) up to 1 */
  readonly spread: number;
}

export interface Observation {
  /** the WireGuard configuration file exists */
  readonly configured: boolean;
  /** time of the latest handshake with any gateway, if there was one */
  readonly handshake: number | undefined;
}

export type Action = 'wait' | 'refresh' | 'force';

/** The state at the start; a configuration that is there counts as an attempt made just now. */
export const initialState = (configured: boolean, now: number, spread = 0): CheckerState => ({
  lastAttempt: configured ? now : undefined,
  lastForce: undefined,
  missingSince: undefined,
  failures: 0,
  spread,
});

/**
 * What to do now. The returned state is to be kept, whatever is done. With `staleAfter` (seconds) a handshake that is older
 * leads to one registration that is not forced: a gateway that has forgotten this guest knows it again before the kernel
 * stops asking for a handshake, and connections through the tunnel live on. A tunnel that works is not touched by it.
 */
export function decideChecker(
  state: CheckerState,
  seen: Observation,
  now: number,
  staleAfter = Number.POSITIVE_INFINITY,
): { state: CheckerState; action: Action } {
  if (!seen.configured) {
    const next = state.missingSince === undefined ? state : { ...state, missingSince: undefined };
    return { state: next, action: due(next.lastAttempt, retryDelay(next), now) ? 'force' : 'wait' };
  }
  const missingSince = seen.handshake === undefined ? (state.missingSince ?? now) : undefined;
  const next = missingSince === state.missingSince ? state : { ...state, missingSince };
  const silence = now - (seen.handshake ?? missingSince ?? now);
  if (silence >= REFRESH_S) {
    // a silent tunnel is repaired by force or left alone: an unforced refresh would only hide that nothing helps
    const wait = longer(REFRESH_S, next.spread, MAX_FORCE_SPREAD);
    return { state: next, action: due(next.lastForce, wait, now) ? 'force' : 'wait' };
  }
  const staleSince = (seen.handshake ?? now) + staleAfter;
  const stale = now >= staleSince && (next.lastAttempt ?? 0) < staleSince;
  return { state: next, action: stale || due(next.lastAttempt, refreshDelay(next), now) ? 'refresh' : 'wait' };
}

/** Notes a refresh that ended at `now`; a new `spread` is drawn for the next wait. */
export function record(
  state: CheckerState,
  forced: boolean,
  succeeded: boolean,
  now: number,
  spread = 0,
): CheckerState {
  return {
    lastAttempt: now,
    lastForce: forced ? now : state.lastForce,
    missingSince: state.missingSince,
    failures: succeeded ? 0 : state.failures + 1,
    spread,
  };
}

/** Seconds between two tries without a configuration: 30, then 30, 60, 120, 120 ... after failures. */
export function retryDelay({ failures, spread }: Pick<CheckerState, 'failures' | 'spread'>): number {
  const backoff = failures === 0 ? 0 : Math.min(RETRY_S * 2 ** (failures - 1), MAX_RETRY_S);
  return longer(Math.max(RETRY_S, backoff), spread);
}

/** Seconds from one registration of a working tunnel to the next. */
export const refreshDelay = ({ spread }: Pick<CheckerState, 'spread'>): number => longer(REFRESH_S, spread);

const longer = (seconds: number, spread: number, most = MAX_SPREAD): number => seconds * (1 + most * spread);

const due = (last: number | undefined, wait: number, now: number): boolean => last === undefined || now - last >= wait;
