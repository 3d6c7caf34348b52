/** Service DstackGuest of the guest API v1: what the app inside the VM asks for below /v1 (dstack guest API v1). */
import { padReportData } from '../../tdx/report.ts';
import type { Handlers } from '../rpc/rpc.ts';
import type { AgentState } from '../state.ts';
import { appInfoV1 } from './app-report.ts';
import { bootBundles } from './gpu-evidence.ts';
import { version } from './guest-service.ts';
import { freshCertifiedKey } from './issue-tls-key.ts';

/** @param keyPrefix stands before every domain of GetKey; the app itself has none */
export function guestServiceV1(state: AgentState, keyPrefix = ''): Handlers<'DstackGuestV1'> {
  const { keyCache, backend, gpuEvidence } = state;
  return {
    IssueCert: async (request) => freshCertifiedKey(state, request, 'V1'),

    async GetKey({ domain, algorithm }) {
      const { key, publicKey, signatureChain } = await keyCache.getV1(keyPrefix + domain, algorithm);
      return { key, public_key: publicKey, signature_chain: [...signatureChain] };
    },

    async Attest({ report_data, include_boottime_gpu_evidence }) {
      const attestation = await backend.attest(padReportData(report_data), 'V1');
      return { attestation, boottime_gpu_evidence: include_boottime_gpu_evidence ? await bootBundles() : [] };
    },

    AttestGpu: async ({ nonce }) => ({ bundles: await gpuEvidence.collect(nonce) }),
    Info: async () => appInfoV1(state, 'app'),
    Version: version,
  };
}
