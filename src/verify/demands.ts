/**
 * What is demanded by an expectation file and beside it. What stands beside the file may only add to it: anything that
 * differs, or that would loosen it, is an error and never a weaker judgement.
 */
import { DstackError } from '../errors.ts';
import { appPins } from './app-pin.ts';
import type { ExpectationFile } from './expectation-file.ts';
import type { Expectations } from './expectations.ts';
import { DEFAULT_ALLOWED, type TcbStatus } from './tcb-policy.ts';

/** What loosens a judgement, as it was given by hand. */
export interface Loosening {
  readonly anyApp: boolean;
  readonly allowUnencrypted: boolean;
  readonly allowed: readonly TcbStatus[];
}

const conflict = (field: string, why: string, value?: string): DstackError =>
  new DstackError('INPUT_INVALID', `${field} ${why}`, {
    field,
    value,
    hint: 'options beside an expectation file only add to it: leave the option out, or change the file',
  });

/**
 * The pins of both. @param file undefined without an expectation file
 * @throws INPUT_INVALID for two values of one thing
 */
export function joinExpectations(file: Expectations | undefined, given: Expectations): Expectations {
  if (file === undefined) return given;
  const values = joined(file.values, given.values, (name) => `--expect ${name}`);
  const events = joined(file.events, given.events, (name) => `--expect event ${name}`);
  const keyProvider = joinProviders(file.keyProvider, given.keyProvider);
  const predicted = joinPredictions(file.predicted, given.predicted);
  return {
    values,
    events,
    ...(keyProvider === undefined ? {} : { keyProvider }),
    ...(predicted === undefined ? {} : { predicted }),
  };
}

function joined<K extends string>(
  file: ReadonlyMap<K, string>,
  given: ReadonlyMap<K, string>,
  field: (name: K) => string,
): Map<K, string> {
  const all = new Map(file);
  for (const [name, value] of given) {
    const other = all.get(name);
    if (other !== undefined && other !== value)
      throw conflict(field(name), `is ${value}, the file says ${other}`, value);
    all.set(name, value);
  }
  return all;
}

/** Event by event: what one leaves open the other may know, and one may know more events than the other. */
function joinPredictions(file: Expectations['predicted'], given: Expectations['predicted']): Expectations['predicted'] {
  if (file === undefined || given === undefined) return file ?? given;
  const longer = file.length > given.length ? file : given;
  return longer.map(({ event }, at) => {
    const [a, b] = [file[at], given[at]];
    const payload = a?.payload ?? b?.payload ?? null;
    const differs = (other: typeof a): boolean =>
      other !== undefined && (other.event !== event || (other.payload !== null && other.payload !== payload));
    if (!differs(a) && !differs(b)) return { event, payload };
    const why = `predicts another event ${at + 1} (${b?.event}) than the expectation file (${a?.event})`;
    throw conflict('--expect-measure', why, b?.payload ?? undefined);
  });
}

/** The one with an id says more than the name alone. */
function joinProviders(file: string | undefined, given: string | undefined): string | undefined {
  if (file === undefined || given === undefined) return given ?? file;
  if (file === given || file.startsWith(`${given}:`)) return file;
  if (given.startsWith(`${file}:`)) return given;
  throw conflict('--expect key-provider', `is ${given}, the file says ${file}`, given);
}

/** Whether the demands hold together. @throws INPUT_INVALID */
export function checkDemands(file: ExpectationFile | undefined, expect: Expectations, given: Loosening): void {
  const pins = appPins(expect);
  if (given.anyApp && pins.length > 0) {
    throw conflict('--any-app', `contradicts what is expected of the app (${pins.join(', ')})`);
  }
  if (file === undefined) return;
  const { anyApp, allowUnencrypted, allowed, freshRequired } = file;
  if (given.anyApp && !anyApp) throw conflict('--any-app', 'is not what the expectation file says');
  if (given.allowUnencrypted && !allowUnencrypted) {
    throw conflict('--allow-unencrypted-storage', 'is not what the expectation file says');
  }
  const looser = given.allowed.find((status) => !DEFAULT_ALLOWED.includes(status) && !allowed.includes(status));
  if (looser !== undefined) throw conflict('--allow-tcb', `${looser} is not allowed by the expectation file`, looser);
  if (freshRequired && /^0*$/.test(expect.values.get('report-data') ?? '')) {
    throw new DstackError('INPUT_INVALID', '--expect report-data=... is missing: the expectation file requires it', {
      field: '--expect',
      hint: 'the number that you gave the guest with the request, in hex, and not zero: it shows that the evidence is fresh',
    });
  }
}
