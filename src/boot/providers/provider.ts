/** Where the keys of an app come from: one file a source, all behind this interface. */
import type { AppCompose, KeyProviderKind } from '../../config/app-compose.ts';
import type { AppKeys } from '../../config/app-keys.ts';
import { HOST_SHARED } from '../../config/paths.ts';
import { DstackError } from '../../errors.ts';
import type { Attestation } from '../../tdx/attestation.ts';

/** What a provider may use of the machine. */
export interface KeyRequest {
  /** evidence over 64 bytes of report data; absent in a dry run, which disturbs no quoting enclave */
  readonly attest?: (reportData: Uint8Array) => Promise<Attestation>;
}

export interface KeyProvider {
  readonly kind: KeyProviderKind;
  /** Gets all keys of this app. The caller wipes them. */
  obtain(request: KeyRequest): Promise<AppKeys>;
}

/**
 * The provider that app-compose.json asks for.
 * @throws KEY_PROVIDER_UNSUPPORTED for the ones this version does not have
 */
export async function keyProviderFor(compose: AppCompose): Promise<KeyProvider> {
  switch (compose.keyProvider) {
    case 'none':
      return (await import('./none.ts')).none;
    default:
      throw new DstackError(
        'KEY_PROVIDER_UNSUPPORTED',
        `key provider ${compose.keyProvider} is not supported by this version`,
        { path: HOST_SHARED.appCompose, field: 'key_provider', value: compose.keyProvider },
      );
  }
}
