/** The four registers of a quote against those that a system leads to, event by event where the log tells the events. */
import { toHex } from '../codec/hex.ts';
import type { AcpiDigests, VmShape } from '../os-image/os-image.ts';
import { extend } from '../tdx/events.ts';
import type { TdQuoteBody } from '../tdx/quote-layout.ts';
import { REGISTER_SIZE, replay } from '../tdx/replay.ts';
import { isAcpiData, type TdxEvent } from '../tdx/tdx-event.ts';
import { type Check, fail, note, type pass } from './check.ts';
import { type Departure, departure, knownAddition, newerEvents, typeName } from './firmware-layout.ts';
import { causeOf, mrtdCause } from './system-cause.ts';
import type { ExpectedSystem, SystemReference } from './system-reference.ts';

export interface SystemDrift {
  /** `mrtd`, `rtmr0` to `rtmr2` */
  readonly register: string;
  /** from 1, among the events of this register; 0 for MRTD and where the log does not tell */
  readonly index: number;
  readonly event: string;
  /** hex; empty when there is no such event */
  readonly found: string;
  readonly expected: string;
  readonly cause: string;
}

const NEWER_LAYOUT = 'the firmware measures as OVMF does since edk2-stable202505, which cannot be computed here';

/** What the registers are judged by. */
export interface RegisterContext {
  readonly reference: SystemReference;
  readonly expected: ExpectedSystem;
  readonly shape: VmShape;
  /** what the log measured into RTMR0 to RTMR2 */
  readonly log: readonly TdxEvent[];
  readonly acpi: AcpiDigests | undefined;
  readonly body: TdQuoteBody;
  /** of the names of the checks */
  readonly prefix: string;
  /** outcome of a register that is as expected, and of one that cannot be computed */
  readonly good: typeof pass;
  readonly open: typeof pass;
}

export interface RegisterChecks {
  readonly checks: readonly Check[];
  /** the first event that drifts, MRTD first */
  readonly drift: SystemDrift | undefined;
  /** a register could not be computed */
  readonly unclear: boolean;
}

/** Compares the four registers of a quote with the expected ones, and names the first event of each that drifts. */
export function checkRegisters(context: RegisterContext): RegisterChecks {
  const { reference, expected, body, prefix, good, open, log, shape } = context;
  const checks: Check[] = [];
  let drift: SystemDrift | undefined;
  let unclear = false;
  const drifted = (name: string, found: SystemDrift, detail: string) => {
    drift ??= found;
    checks.push(fail(name, detail));
  };
  const mrtd = toHex(body.mrtd);
  if (expected.mrtd === undefined) checks.push(note(`${prefix}mrtd`, 'the prediction leaves it open'));
  else if (toHex(expected.mrtd) === mrtd) checks.push(good(`${prefix}mrtd`, `is that of ${reference.name}`));
  else {
    const cause = mrtdCause(mrtd, reference, shape);
    const wanted = toHex(expected.mrtd);
    drifted(
      `${prefix}mrtd`,
      { register: 'mrtd', index: 0, event: 'firmware', found: mrtd, expected: wanted, cause },
      `the quote has ${mrtd}, ${reference.name} gives ${wanted}; ${cause}`,
    );
  }
  // a log without these events proves nothing about them; a stripped one keeps the ACPI tables alone
  const told = log.some((event) => !isAcpiData(event));
  for (const register of [0, 1, 2] as const) {
    const name = `${prefix}rtmr${register}`;
    const value = expectedValue(expected, register);
    const events = log.filter(({ imr }) => imr === register);
    const quoted = toHex(body.rtmrs[register]);
    const where = told ? departure(expected.registers[register]?.events ?? [], events) : undefined;
    if (value !== undefined && toHex(value) === quoted) {
      // the register is proven: what the log says else is a lie
      if (where === undefined) checks.push(good(name, `is that of ${reference.name}`));
      else {
        const { found } = describe(register, where, 'the log is not what was measured');
        drifted(
          name,
          found,
          `${placeOf(register, where)}: the log has ${found.found || 'no such event'}, measured was ${found.expected || 'none'}`,
        );
      }
    } else if (value === undefined && where === undefined) {
      unclear = true;
      checks.push(open(name, whyUnknown(expected, register)));
    } else if (register === 0 && newerEvents(events).length > 0 && replays(log, body, register)) {
      unclear = true;
      checks.push(open(name, `${NEWER_LAYOUT}: ${newerEvents(events).join(', ')}`));
    } else if (where === undefined) {
      const cause = told ? forgedLog(register) : 'the log was stripped: with the whole one the event could be named';
      const wanted = value === undefined ? '' : toHex(value);
      drifted(
        name,
        { register: `rtmr${register}`, index: 0, event: '', found: quoted, expected: wanted, cause },
        `the quote has ${quoted}, ${reference.name} gives ${wanted}; ${cause}`,
      );
    } else {
      const cause = causeOf(register, where, reference, shape);
      const { found } = describe(register, where, cause);
      const doubt = replays(log, body, register) ? '' : ' (the log does not replay to the register)';
      drifted(
        name,
        found,
        `${placeOf(register, where)}: measured was ${found.found || 'nothing'}, ${reference.name} gives ${found.expected || 'no such event'}; ${cause}${doubt}`,
      );
    }
  }
  if (context.acpi !== undefined && !unclear) {
    checks.push(note(`${prefix}acpi`, 'the host made the ACPI tables, and nobody else vouches for them'));
  }
  return { checks, drift, unclear };
}

const replays = (log: readonly TdxEvent[], body: TdQuoteBody, register: 0 | 1 | 2): boolean =>
  toHex(replay(log, register)) === toHex(body.rtmrs[register]);

/** The value as stated, or chained from the events when all of them are known. */
function expectedValue({ registers }: ExpectedSystem, register: number): Uint8Array | undefined {
  const { value, events } = registers[register] ?? { value: undefined, events: [] };
  if (value !== undefined || events.length === 0) return value;
  let chained: Uint8Array | undefined = new Uint8Array(REGISTER_SIZE);
  for (const { digest } of events) chained = chained && digest && extend(chained, digest);
  return chained;
}

function whyUnknown({ registers, unknown: open }: ExpectedSystem, register: number): string {
  const missing = registers[register]?.events.find(({ digest }) => digest === undefined);
  if (missing?.name.startsWith('acpi-')) return 'the digests of the ACPI tables are missing: give --event-log';
  const why = open.find(({ event }) => event === missing?.name)?.why;
  return missing === undefined ? 'the prediction leaves it open' : `${missing.name}: ${why ?? 'it is not known'}`;
}

const forgedLog = (register: number): string =>
  register === 0
    ? 'every other event of the log is as predicted: the log is not what was measured, or the digest of an ACPI table in it is wrong'
    : 'every event of the log is as predicted: the log is not what was measured';

function placeOf(register: number, { index, expected, found, kind }: Departure): string {
  const name = kind === 'added' ? addedName(register, index, found) : expected?.name;
  return `RTMR${register} event ${index} (${name})`;
}

const addedName = (register: number, index: number, found: TdxEvent | undefined): string =>
  found === undefined ? '' : (knownAddition(register, index, found)?.name ?? typeName(found.eventType));

function describe(register: number, where: Departure, cause: string): { found: SystemDrift } {
  const { kind, index, expected, found } = where;
  return {
    found: {
      register: `rtmr${register}`,
      index,
      event: kind === 'added' ? addedName(register, index, found) : (expected?.name ?? ''),
      found: kind === 'missing' || found === undefined ? '' : toHex(found.digest),
      expected: kind === 'added' || expected?.digest === undefined ? '' : toHex(expected.digest),
      cause,
    },
  };
}
