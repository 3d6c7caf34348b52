/** The certificate authority of an app whose keys come from a seed: signed by nobody but itself, with evidence inside. */
import type { AppKeys } from '../../config/app-keys.ts';
import { localCaCert } from '../../keys/ca-cert.ts';
import { certReportData } from '../../keys/report-data.ts';
import type { SeedKeys } from '../../keys/seed-keys.ts';
import { wipe } from '../../sys/files.ts';
import { encodeVersioned, strip } from '../../tdx/attestation.ts';
import type { Attest } from './provider.ts';

/**
 * Completes the keys with their CA certificate. It is made before the key-provider event: the evidence in it shows the
 * log up to boot-mr-done. Without `attest` (a dry run, which disturbs no quoting enclave) it has none.
 */
export async function withLocalCa({ appKey, ...keys }: SeedKeys, attest?: Attest): Promise<AppKeys> {
  try {
    const evidence = await attest?.(certReportData(appKey.spkiDer));
    const attestation = evidence === undefined ? undefined : encodeVersioned(strip(evidence));
    return { ...keys, caCert: await localCaCert({ appKey, attestation }) };
  } finally {
    wipe(appKey.scalar, appKey.pkcs8Der);
  }
}
