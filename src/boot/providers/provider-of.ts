/** The key providers by the name that app-compose.json gives them. Each is loaded when an app asks for it. */
import type { AppCompose } from '../../config/app-compose.ts';
import type { KeyProvider } from './provider.ts';

/** The provider that app-compose.json asks for. */
export async function keyProviderFor({ keyProvider }: Pick<AppCompose, 'keyProvider'>): Promise<KeyProvider> {
  switch (keyProvider) {
    case 'none':
      return (await import('./none.ts')).none;
    case 'local':
      return (await import('./local.ts')).local;
    case 'kms':
      return (await import('./kms.ts')).kms;
    case 'tpm':
      return (await import('./tpm.ts')).tpm;
  }
}
