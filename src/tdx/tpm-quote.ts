/** A TPM quote as it travels inside attestations of Google Cloud guests. */
export interface TpmQuote {
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
  readonly pcrValues: readonly { readonly index: number; readonly algorithm: string; readonly value: Uint8Array }[];
  readonly akCert: Uint8Array;
  readonly platform: TpmPlatform;
  readonly eventLog: readonly { readonly pcrIndex: number; readonly digest: Uint8Array }[];
}

/** Names in the msgpack form, in the order of the SCALE enum. */
export const TPM_PLATFORMS = ['dstack', 'gcp', 'nitroenclave', 'aws-ec2'] as const;
export type TpmPlatform = (typeof TPM_PLATFORMS)[number];
