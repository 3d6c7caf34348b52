/** Key provider none: fresh random keys in every boot. Nothing encrypted with them can be read after the next one. */
import { ephemeralKeys } from '../../keys/app-keys.ts';
import { localCaCert } from '../../keys/ca-cert.ts';
import { certReportData } from '../../keys/report-data.ts';
import { wipe } from '../../sys/files.ts';
import { encodeVersioned, strip } from '../../tdx/attestation.ts';
import type { KeyProvider } from './provider.ts';

export const none: KeyProvider = {
  kind: 'none',
  async obtain(request) {
    const { appKey, ...keys } = ephemeralKeys();
    try {
      // made before the key-provider event: the evidence in it shows the log up to boot-mr-done
      const evidence = await request.attest?.(certReportData(appKey.spkiDer));
      const attestation = evidence === undefined ? undefined : encodeVersioned(strip(evidence));
      return { ...keys, caCert: await localCaCert({ appKey, attestation }) };
    } finally {
      wipe(appKey.scalar, appKey.pkcs8Der);
    }
  },
};
