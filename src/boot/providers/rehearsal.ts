/** Keys for a dry run: random ones of the right shape. They open nothing, and no provider is asked. */
import type { AppCompose } from '../../config/app-compose.ts';
import type { AppKeys, KeyProviderRecord } from '../../config/app-keys.ts';
import type { SysConfig } from '../../config/sys-config.ts';
import { ephemeralKeys } from '../../keys/seed-keys.ts';
import { effect } from '../../sys/effects.ts';
import { EVENT } from '../../tdx/events.ts';
import { withLocalCa } from './local-ca.ts';
import type { KeyRequest } from './provider.ts';

/** @returns keys that carry the provider id which app-compose.json pins, if it does */
export async function rehearsedKeys(
  compose: AppCompose,
  { kmsUrls, hostApiUrl, vm }: SysConfig,
  measure: KeyRequest['measure'],
): Promise<AppKeys> {
  const keys = await withLocalCa(ephemeralKeys());
  const id = compose.keyProviderId;
  const from: Record<AppCompose['keyProvider'], { readonly asks?: string; readonly keyProvider: KeyProviderRecord }> = {
    none: { keyProvider: keys.keyProvider },
    local: { asks: hostApiUrl ?? 'the host', keyProvider: { kind: 'local', key: '', mr: id } },
    tpm: { asks: 'the TPM', keyProvider: { kind: 'tpm', key: '', pubkey: new Uint8Array() } },
    kms: {
      asks: kmsUrls.join(', then '),
      keyProvider: { kind: 'kms', url: kmsUrls[0] ?? '', pubkey: id, tmpCaKey: '', tmpCaCert: '' },
    },
  };
  const { asks, keyProvider } = from[compose.keyProvider];
  if (asks !== undefined) await effect(`ask ${asks} for the keys of the app`, undefined, async () => undefined);
  if (keyProvider.kind === 'kms') await measure(EVENT.osImageHash, vm.osImageHash);
  return { ...keys, keyProvider };
}
