/** The report as the library makes it (`verify --json`), as far as the page draws it. Hex and RFC 3339 throughout. */

export type Outcome = 'pass' | 'fail' | 'unknown' | 'note';
export type Part = 'input' | 'machine' | 'system' | 'app' | 'fresh';
export type ProofState = 'proven' | 'not proven' | 'contradicted';

export interface CheckJson {
  readonly name: string;
  readonly outcome: Outcome;
  readonly detail: string;
  readonly part: Part;
}

export interface PartProofJson {
  readonly state: ProofState;
  readonly why: string;
}

export interface RuntimeEventJson {
  readonly index: number;
  readonly event: string;
  readonly payload: string;
  readonly digest: string;
  readonly rtmr3: string;
  readonly state: 'pinned' | 'known' | 'app' | 'drift';
  readonly why?: string;
}

export interface FirmwareEventJson {
  readonly register: 0 | 1 | 2;
  readonly index: number;
  readonly event: string;
  readonly type: string;
  readonly digest: string;
  /** empty in a stripped log, which does not lead to the register */
  readonly value: string;
  readonly state: 'expected' | 'host' | 'drift' | 'open';
  readonly why?: string;
}

export interface ReportJson {
  readonly verdict: 'valid' | 'invalid' | 'unchecked';
  readonly proof: {
    readonly machine: PartProofJson;
    readonly system: PartProofJson;
    readonly app: PartProofJson & { readonly conditional: boolean };
    readonly fresh: PartProofJson;
  };
  readonly not_proven: readonly string[];
  readonly input: { readonly kind: string | null; readonly form: string | null; readonly bytes: number };
  readonly at: string;
  readonly root_ca: { readonly name: string; readonly sha256: string; readonly intel: boolean };
  readonly collateral?: { readonly source: string; readonly valid_until: string };
  readonly tcb?: { readonly status: string; readonly advisory_ids: readonly string[] };
  readonly checks: readonly CheckJson[];
  readonly system: { readonly os_image_hash: string | null; readonly reference: { readonly name: string } } | null;
  readonly registers?: Readonly<Record<string, string>>;
  readonly identity?: {
    readonly app_id: string;
    readonly compose_hash: string;
    readonly instance_id: string;
    readonly device_id: string | null;
    readonly os_image_hash: string;
    readonly key_provider: { readonly name: string; readonly id: string } | null;
  };
  readonly events: readonly RuntimeEventJson[];
  readonly firmware_events: readonly FirmwareEventJson[];
}
