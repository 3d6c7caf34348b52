/** Results as data, with the names that `dstack-util verify --json` uses. */

/** `unknown`: could not be checked, so nothing is proven either way. `note`: said, without weight. */
export type Outcome = 'pass' | 'fail' | 'unknown' | 'note';

/** One thing that was checked. The names are stable. */
export interface Check {
  readonly name: string;
  readonly outcome: Outcome;
  /** one line for people, with text of others in it: show it as text, never as HTML */
  readonly detail: string;
}

/** One failure makes it invalid; otherwise one thing unknown leaves it unchecked. */
export type Verdict = 'valid' | 'invalid' | 'unchecked';

/** The questions of a verification; `input` is what could not even be read. */
export type Part = 'machine' | 'system' | 'app' | 'fresh' | 'input';

/** One answer. */
export interface PartProof {
  readonly state: 'proven' | 'not proven' | 'contradicted';
  /** one sentence */
  readonly why: string;
}

/** A root that is not Intel's proves what whoever keeps its key wants it to prove. */
export interface Root {
  readonly name: string;
  readonly sha256: string;
  readonly intel: boolean;
}

/** An event of RTMR3 in the order of the log. Hex. */
export interface ReportEvent {
  readonly index: number;
  readonly event: string;
  readonly version: number;
  readonly payload: string;
  readonly digest: string;
  /** RTMR3 behind the event */
  readonly rtmr3: string;
  /** `pinned`, `known`, `app` or `drift` */
  readonly state: string;
  readonly why?: string;
}

/** An event of RTMR0 to RTMR2. Hex. */
export interface FirmwareEvent {
  readonly register: number;
  readonly index: number;
  readonly event: string;
  readonly type: string;
  readonly digest: string;
  /** the register behind the event */
  readonly value: string;
  /** `expected`, `host`, `drift` or `open` */
  readonly state: string;
  readonly why?: string;
}

/** The whole report: what `dstack-util verify --json` prints. Hex in lower case, times in RFC 3339. */
export interface Report {
  /** raised when a field changes its meaning or goes */
  readonly version: number;
  readonly verdict: Verdict;
  /** what is proven, whatever was demanded */
  readonly proof: {
    readonly machine: PartProof & { readonly root: Root };
    readonly system: PartProof;
    /** `conditional`: as far as a system can be trusted that is not proven itself */
    readonly app: PartProof & { readonly conditional: boolean };
    readonly fresh: PartProof;
  };
  /** what nobody checked or proved, one sentence each */
  readonly not_proven: readonly string[];
  readonly input: { readonly kind: string | null; readonly form: string | null; readonly bytes: number };
  readonly at: string;
  readonly root_ca: Root;
  readonly collateral?: { readonly source: string; readonly valid_until: string };
  readonly tcb?: { readonly status: string; readonly advisory_ids: readonly string[] };
  readonly checks: readonly (Check & { readonly part: Part })[];
  readonly first_drift: string | null;
  readonly system: Readonly<Record<string, unknown>> | null;
  readonly registers?: Readonly<Record<string, string>>;
  readonly identity?: Readonly<Record<string, unknown>>;
  readonly events: readonly ReportEvent[];
  readonly firmware_events: readonly FirmwareEvent[];
}
