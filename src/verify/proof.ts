/**
 * What a verification proves, in parts that cannot be taken for one another: a genuine machine, its system, its app, and
 * freshness. The verdict says whether what was demanded holds; this says what nobody demanded as well.
 */
import { toHex } from '../codec/hex.ts';
import { bootEvents, EVENT } from '../tdx/events.ts';
import type { Check, Part, PartCheck } from './check.ts';
import type { EventRow } from './event-rows.ts';
import type { Evidence } from './evidence-forms.ts';
import type { Expectations } from './expectations.ts';
import type { QuoteCheck } from './quote-check.ts';
import type { SystemReport } from './system-check.ts';

export type ProofState = 'proven' | 'not proven' | 'contradicted';

export interface PartProof {
  readonly state: ProofState;
  /** one sentence */
  readonly why: string;
}

export interface Proof {
  readonly machine: PartProof & { readonly root: { readonly name: string; readonly intel: boolean } };
  readonly system: PartProof;
  /** `conditional`: as far as the system can be trusted, which is not proven: another one can measure the same events */
  readonly app: PartProof & { readonly conditional: boolean };
  readonly fresh: PartProof;
}

/** What the parts are read from. */
export interface Judged {
  readonly checks: readonly PartCheck[];
  readonly expect: Expectations;
  readonly root: Proof['machine']['root'];
  readonly rows: readonly EventRow[];
  readonly evidence?: Evidence;
  readonly quoteCheck?: QuoteCheck;
  readonly system?: SystemReport;
}

const proven = (why: string): PartProof => ({ state: 'proven', why });
const open = (why: string): PartProof => ({ state: 'not proven', why });
const sentence = ({ name, detail }: Check): string => `${name}: ${detail}`;

export function proofOf(judged: Judged): Proof {
  const { checks, root } = judged;
  const input = checks.find(({ part }) => part === 'input');
  const machine = input === undefined ? machineOf(judged) : open(sentence(input));
  /** What decides before anything else does: a failure, then whether the quote counts at all, then what is unknown. */
  const part = (name: Part, otherwise: () => PartProof): PartProof => {
    const own = checks.filter((check) => check.part === name);
    const failed = own.find(({ outcome }) => outcome === 'fail');
    if (failed !== undefined) return { state: 'contradicted', why: sentence(failed) };
    if (machine.state !== 'proven') return open('the machine is not proven, so nothing in its evidence counts');
    const result = otherwise();
    const unclear = own.find(({ outcome }) => outcome === 'unknown');
    return unclear === undefined ? result : open(sentence(unclear));
  };
  const system = part('system', () => systemOf(judged));
  const app = part('app', () => appOf(judged));
  return {
    machine: { ...machine, root },
    system,
    app: { ...app, conditional: app.state === 'proven' && system.state !== 'proven' },
    fresh: part('fresh', () => freshOf(judged)),
  };
}

function machineOf({ checks, quoteCheck, root }: Judged): PartProof {
  const own = checks.filter(({ part }) => part === 'machine');
  const failed = own.find(({ outcome }) => outcome === 'fail');
  if (failed !== undefined) return { state: 'contradicted', why: sentence(failed) };
  const unclear = own.find(({ outcome }) => outcome === 'unknown');
  if (unclear !== undefined) return open(sentence(unclear));
  const who = root.intel ? 'Intel’s root' : `${root.name}, which is NOT Intel’s root`;
  return proven(`the quote leads to ${who}, TCB status ${quoteCheck?.tcb?.status ?? 'unknown'}`);
}

/** Pins that fix all four registers of the system. */
const ALL_REGISTERS = [['mrtd', 'rtmr0', 'rtmr1', 'rtmr2'], ['mr-system'], ['mr-aggregated']] as const;

function systemOf({ system, checks }: Judged): PartProof {
  const holds = (name: string) => checks.some((check) => check.name === `expect ${name}` && check.outcome === 'pass');
  const pins = ALL_REGISTERS.find((names) => names.every(holds));
  if (pins !== undefined) return proven(`its registers are the pinned ones (${pins.join(', ')})`);
  const name = system?.reference.name ?? '';
  const hash = system?.reference.osImageHash;
  const image = hash === undefined ? name : `os_image_hash ${toHex(hash)}`;
  switch (system?.verdict) {
    case 'proven':
      return proven(`its registers are those of ${image}`);
    case 'consistent':
      return open(`its registers are those of ${image}, which only the host names`);
    case undefined:
      return open('nothing says which image you expect: --expect-file, --image, --image-measurement or os-image-hash');
    default:
      return open(`its registers could not be computed from ${name}`);
  }
}

function appOf({ checks }: Judged): PartProof {
  const pin = checks.find(({ name }) => name === 'expect-app');
  if (pin?.outcome === 'pass') return proven(`the measured events are of the app you expect, ${pin.detail}`);
  return open(pin?.detail ?? 'nothing says which app you expect');
}

function freshOf({ expect, evidence }: Judged): PartProof {
  const value = expect.values.get('report-data');
  if (value !== undefined && !/^0*$/.test(value)) return proven('the quote carries the report data that you demanded');
  if (value !== undefined)
    return open('the report data that you demanded is zero, which anybody can ask for at any time');
  if (evidence?.kind === 'certificate') {
    return open('the quote is as old as the key of its certificate: a handshake shows who holds that key now');
  }
  return open('no report data of yours was demanded: --expect report-data=... with a number that you gave the guest');
}

/** What nobody checked or proved, one sentence each; the reader is the one who relies on the verdict. */
export function notProven(proof: Proof, { evidence, quoteCheck, rows, system }: Judged): string[] {
  const { machine, app, fresh } = proof;
  const out: string[] = [];
  // a contradiction is told in full by its check
  const reason = ({ state, why }: PartProof): string =>
    state === 'contradicted' ? `contradicted by the check ${why.split(': ', 1).join()}` : why;
  const add = (what: string, part: PartProof): unknown =>
    part.state === 'proven' || out.push(`${what}: ${reason(part)}`);
  add('that the machine is genuine', machine);
  if (!machine.root.intel) {
    out.push(`that Intel vouches for the machine: whoever keeps the key of ${machine.root.name} can sign any quote`);
  }
  const status = quoteCheck?.tcb?.status;
  if (machine.state === 'proven' && status !== undefined && status !== 'UpToDate') {
    out.push(`that the platform is up to date: its TCB status ${status} was allowed`);
  }
  add('which operating system runs', proof.system);
  if (system?.acpi !== undefined && (system.verdict === 'proven' || system.verdict === 'consistent')) {
    out.push('that the ACPI tables are harmless: the host made them, their digests are taken from the event log');
  }
  add('which app runs', app);
  if (app.conditional) {
    out.push('that the app’s events were measured by a system you trust: another system can measure the same ones');
  }
  if (bootEvents(rows).some(({ event }) => event === EVENT.storageUnencrypted)) {
    out.push('that the host cannot read or change the data disk: it is not encrypted');
  }
  if (evidence?.kind === 'certificate') {
    out.push('who signed the certificate: its issuer is a matter of the app’s own CA');
  }
  add('that the evidence is fresh', fresh);
  return out;
}
