/** What an attestation holds, in memory, whatever bytes it came in. */
import type { RuntimeEvent } from './events.ts';
import type { TdxEvent } from './tdx-event.ts';
import type { TpmQuote } from './tpm-quote.ts';

export type Platform =
  | { readonly kind: 'tdx'; readonly quote: Uint8Array; readonly eventLog: readonly TdxEvent[] }
  | {
      readonly kind: 'gcp-tdx';
      readonly quote: Uint8Array;
      readonly eventLog: readonly TdxEvent[];
      readonly tpmQuote: TpmQuote;
    }
  | { readonly kind: 'nitro-enclave'; readonly nsmQuote: Uint8Array }
  | { readonly kind: 'aws-nitro-tpm'; readonly attestationDoc: Uint8Array }
  | {
      readonly kind: 'sev-snp';
      readonly report: Uint8Array;
      readonly certChain: readonly Uint8Array[];
      readonly mrConfig: string;
    };

export interface Attestation {
  readonly platform: Platform;
  /** 64 bytes */
  readonly reportData: Uint8Array;
  readonly runtimeEvents: readonly RuntimeEvent[];
  /** vm_config text of the guest, or what stands for it on other platforms */
  readonly config: string;
  /** stack `dstack-pod` only: the text whose `app-data` hash is the report data */
  readonly reportDataPayload?: string;
}
