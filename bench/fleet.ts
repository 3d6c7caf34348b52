/**
 * `npm run bench -- fleet`: 100,000 guests in virtual time through a common start, an outage of the gateways, an outage of
 * the KMS and a rolling restart, with and without jitter. Each guest runs the real decision of the checker; what is modelled
 * is the world around it, and stands in `WORLD`. Servers have no limit here: the figures are what they are asked.
 */
import { decideChecker, initialState, POLL_S, record, refreshDelay, STALE_S } from '../src/net/checker-decision.ts';

const GUESTS = Number(process.env['FLEET_GUESTS'] ?? 100_000);
/** 0 = as the deployed checker does, without the early look at an old handshake */
const STALE_AFTER = process.env['FLEET_EARLY'] === '0' ? Number.POSITIVE_INFINITY : STALE_S;
const HOUR = 3600;

const WORLD = {
  /** a common start: the VMs of a fleet are up within this time */
  startWithin: 60,
  /** a request to a gateway or KMS that is down ends after the connect timeout */
  failsAfter: 5,
  /** WireGuard makes a new handshake this often while the tunnel works */
  rekey: 120,
  /** requests of one boot to the KMS: temporary CA, app keys, two gateway certificates, the certificate of the agent */
  kmsAtBoot: 5,
  /** requests for new gateway certificates: one with and one without a quote */
  kmsAtRenewal: 2,
  certLifetime: 864_000,
  renewMargin: 600,
  renewWindow: 86_400,
} as const;

/** xorshift32: the same fleet each time. */
function generator(seed: number): () => number {
  let x = seed | 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 2 ** 32;
  };
}

class Load {
  readonly perSecond: Uint32Array;
  total = 0;
  constructor(seconds: number) {
    this.perSecond = new Uint32Array(seconds + 1000);
  }
  add(at: number, count = 1): void {
    const second = Math.floor(at);
    if (second < 0 || second >= this.perSecond.length) return;
    this.perSecond[second]! += count;
    this.total += count;
  }
  peak(from = 0, to = this.perSecond.length): number {
    let peak = 0;
    for (let i = from; i < Math.min(to, this.perSecond.length); i++) peak = Math.max(peak, this.perSecond[i]!);
    return peak;
  }
  sum(from: number, to: number): number {
    let sum = 0;
    for (let i = from; i < to; i++) sum += this.perSecond[i] ?? 0;
    return sum;
  }
}

interface Scenario {
  readonly name: string;
  readonly seconds: number;
  /** when guest i starts (negative: it runs already) */
  readonly start: (i: number, random: () => number) => number;
  readonly gatewayUp: (now: number) => boolean;
  /** the gateways lose their state at this time */
  readonly forgetsAt?: number;
  /** seconds before `forgetsAt` that they were down */
  readonly downFor?: number;
  readonly kmsUp: (now: number) => boolean;
  /** age of the certificates at time 0 for guests that run already */
  readonly certAge?: number;
  /** what the report looks at */
  readonly windows: readonly (readonly [string, number, number])[];
}

const always = () => true;
const outage = (from: number, to: number) => (now: number) => now < from || now >= to;

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'common start',
    seconds: 2 * HOUR,
    start: (_, random) => random() * WORLD.startWithin,
    gatewayUp: always,
    kmsUp: always,
    windows: [
      ['the start', 0, 120],
      ['the 2nd hour', HOUR, 2 * HOUR],
    ],
  },
  {
    name: 'gateways down for 10 min, back without their state',
    seconds: 2 * HOUR,
    start: (_, random) => -HOUR + random() * WORLD.startWithin,
    gatewayUp: outage(HOUR, HOUR + 600),
    forgetsAt: HOUR + 600,
    downFor: 600,
    kmsUp: always,
    windows: [
      ['the hour before', 0, HOUR],
      ['the outage', HOUR, HOUR + 600],
      ['the 10 min after', HOUR + 600, HOUR + 1200],
    ],
  },
  {
    name: 'gateways restart without their state',
    seconds: 2 * HOUR,
    start: (_, random) => -HOUR + random() * WORLD.startWithin,
    gatewayUp: always,
    forgetsAt: HOUR,
    kmsUp: always,
    windows: [['the 5 min after', HOUR, HOUR + 300]],
  },
  {
    name: 'KMS down for 30 min when certificates of a common start end',
    seconds: 26 * HOUR,
    start: (_, random) => -HOUR + random() * WORLD.startWithin,
    gatewayUp: always,
    kmsUp: outage(25 * HOUR - 1200, 25 * HOUR + 600),
    certAge: WORLD.certLifetime - 25 * HOUR,
    windows: [
      ['the day before', 0, 25 * HOUR - 1200],
      ['the outage', 25 * HOUR - 1200, 25 * HOUR + 600],
      ['after it', 25 * HOUR + 600, 26 * HOUR],
    ],
  },
  {
    name: 'rolling restart, 1,000 guests a minute',
    seconds: 3 * HOUR,
    start: (i) => (i * 60) / 1000,
    gatewayUp: always,
    kmsUp: always,
    windows: [['the restart', 0, Math.ceil((GUESTS * 60) / 1000)]],
  },
];

interface Outcome {
  readonly gateway: Load;
  readonly kms: Load;
  /** seconds without a tunnel after `forgetsAt`, or after the certificates ended, for each guest */
  readonly without: Float32Array;
}

function run(scenario: Scenario, jitter: boolean): Outcome {
  const gateway = new Load(scenario.seconds);
  const kms = new Load(scenario.seconds);
  const without = new Float32Array(GUESTS);
  for (let i = 0; i < GUESTS; i++) without[i] = guest(scenario, i, jitter, gateway, kms);
  return { gateway, kms, without };
}

/** One guest from its start to the end. @returns its longest time without a tunnel */
function guest(scenario: Scenario, i: number, jitter: boolean, gateway: Load, kms: Load): number {
  const random = generator(0x9e3779b9 ^ Math.imul(i + 1, 0x85ebca6b));
  random();
  const spread = () => (jitter ? random() : 0);
  const booted = scenario.start(i, random);
  let certEnd = booted + WORLD.certLifetime - (booted < 0 ? (scenario.certAge ?? 0) : 0);
  const renewBefore = WORLD.renewMargin + (jitter ? random() * WORLD.renewWindow : 0);
  if (booted >= 0) kms.add(booted, WORLD.kmsAtBoot);
  /** since when the gateways know this guest; undefined = they do not */
  let known: number | undefined;
  let lostAt: number | undefined;
  let longest = 0;
  /** one registration; its end */
  const refresh = (at: number): { end: number; ok: boolean } => {
    let end = at;
    if (end + renewBefore >= certEnd) {
      kms.add(end, WORLD.kmsAtRenewal);
      if (scenario.kmsUp(end)) certEnd = end + WORLD.certLifetime;
      else {
        end += WORLD.failsAfter;
        if (end + WORLD.renewMargin >= certEnd) return { end, ok: false };
      }
    }
    gateway.add(end);
    if (!scenario.gatewayUp(end)) return { end: end + WORLD.failsAfter, ok: false };
    known ??= end;
    if (lostAt !== undefined) longest = Math.max(longest, end - lostAt);
    lostAt = undefined;
    return { end, ok: true };
  };
  const first = refresh(booted); // by setup
  let configured = first.ok;
  let frozen: number | undefined;
  let state = initialState(configured, first.end, spread());
  for (let now = first.end + (jitter ? random() * POLL_S : 0); now < scenario.seconds; ) {
    if (known !== undefined && lost(scenario, known, now)) {
      frozen = lastHandshake(known, Math.min(now, downSince(scenario, now)));
      known = undefined;
      lostAt = downSince(scenario, now);
    }
    const handshake = known === undefined ? frozen : lastHandshake(known, now);
    const decided = decideChecker(state, { configured, handshake }, now, STALE_AFTER);
    state = decided.state;
    if (decided.action !== 'wait') {
      const forced = decided.action === 'force';
      const { end, ok } = refresh(now);
      configured ||= ok;
      state = record(state, forced, ok, end, spread());
      now = end;
    }
    now += POLL_S;
    // a working tunnel waits at each look until its next refresh is due or the world changes: those looks are left out
    if (known !== undefined && !lost(scenario, known, now) && state.lastAttempt !== undefined) {
      const event = [HOUR, HOUR + 600].find((at) => at > now) ?? Number.POSITIVE_INFINITY;
      const idle = Math.min(state.lastAttempt + refreshDelay(state), event) - now;
      if (idle > POLL_S) now += Math.floor(idle / POLL_S) * POLL_S;
    }
  }
  if (lostAt !== undefined) longest = Math.max(longest, scenario.seconds - lostAt);
  return longest;
}

/** A tunnel is lost while the gateways are down, and when they forgot it since it was made. */
function lost({ gatewayUp, forgetsAt }: Scenario, known: number, now: number): boolean {
  return !gatewayUp(now) || (forgetsAt !== undefined && known < forgetsAt && now >= forgetsAt);
}
const downSince = ({ forgetsAt, downFor = 0 }: Scenario, now: number): number =>
  forgetsAt === undefined ? now : forgetsAt - downFor;
const lastHandshake = (known: number, now: number): number =>
  known + Math.floor(Math.max(0, now - known) / WORLD.rekey) * WORLD.rekey;

const rate = (count: number) => Math.round(count).toLocaleString('en').padStart(9);

console.log(`${GUESTS.toLocaleString('en')} guests; requests: peak in one second, and total`);
for (const scenario of SCENARIOS) {
  console.log(`\n${scenario.name}`);
  for (const jitter of [false, true]) {
    const began = performance.now();
    const { gateway, kms, without } = run(scenario, jitter);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    for (const [name, from, to] of scenario.windows) {
      const figures = [gateway, kms].map((load) => `${rate(load.peak(from, to))} /s ${rate(load.sum(from, to))}`);
      console.log(
        `  ${jitter ? 'jitter   ' : 'no jitter'}  ${name.padEnd(18)} gateway ${figures[0]}   KMS ${figures[1]}`,
      );
    }
    const sorted = without.sort();
    if (sorted.at(-1)! > 0) {
      const at = (part: number) => `${Math.round(sorted[Math.floor(part * (GUESTS - 1))]!)} s`;
      console.log(`             without a tunnel: half of the guests ${at(0.5)}, 99 % ${at(0.99)}, all ${at(1)}`);
    }
    console.log(`             (computed in ${seconds} s)`);
  }
}
