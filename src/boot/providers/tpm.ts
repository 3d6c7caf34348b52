/**
 * Key provider tpm: a seed sealed in a TPM under the boot measurements. This version does not open such seals; it says
 * which half is missing, the TPM or the program, and never makes other keys instead.
 */
import { HOST_SHARED } from '../../config/paths.ts';
import { DstackError } from '../../errors.ts';
import { exists } from '../../sys/files.ts';
import type { KeyProvider } from './provider.ts';

const DEVICES = ['/dev/tpmrm0', '/dev/tpm0'];
const FIELD = { path: HOST_SHARED.appCompose, field: 'key_provider', value: 'tpm' } as const;

/** @throws TPM_NOT_FOUND, KEY_PROVIDER_UNSUPPORTED */
async function refuseTpm(root = ''): Promise<never> {
  for (const device of DEVICES) {
    if (await exists(`${root}${device}`)) {
      throw new DstackError(
        'KEY_PROVIDER_UNSUPPORTED',
        `there is a TPM at ${device}, but key provider tpm is not supported by this version`,
        FIELD,
      );
    }
  }
  throw new DstackError(
    'TPM_NOT_FOUND',
    `key provider tpm needs a TPM, and there is none at ${DEVICES.join(' or ')}`,
    FIELD,
  );
}

export const tpm: KeyProvider = {
  kind: 'tpm',
  check: ({ root }) => refuseTpm(root),
  obtain: () => refuseTpm(),
};
