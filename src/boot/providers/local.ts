/** Key provider local: all keys follow from a secret that the host's sealing enclave keeps for this app on this machine. */
import { keysFromSeed } from '../../keys/seed-keys.ts';
import { loadSealingKey } from '../../net/net.ts';
import { wipe } from '../../sys/files.ts';
import { tdxQuote } from '../../tdx/attestation.ts';
import { withLocalCa } from './local-ca.ts';
import type { KeyProvider } from './provider.ts';

export const local: KeyProvider = {
  kind: 'local',
  async check({ sysConfig: { hostApiUrl } }) {
    if (hostApiUrl === undefined) throw (await loadSealingKey()).noHost();
  },
  async obtain({ attest, sysConfig }) {
    const { requestSealingKey } = await loadSealingKey();
    const { seed, mr } = await requestSealingKey({
      hostApiUrl: sysConfig.hostApiUrl,
      pccsUrl: sysConfig.pccsUrl,
      quote: async (reportData) => tdxQuote(await attest(reportData)),
    });
    try {
      return await withLocalCa(keysFromSeed(seed, { kind: 'local', mr }), attest);
    } finally {
      wipe(seed);
    }
  },
};
