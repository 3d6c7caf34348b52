/** Service DstackGuest: what the app inside the VM asks for, on dstack.sock (dstack guest agent services). */

import { PATHS } from '../../config/paths.ts';
import { DstackError } from '../../errors.ts';
import { utf8 } from '../../sys/files.ts';
import { isBootEvent } from '../../tdx/events.ts';
import { REVISION, VERSION } from '../../version.ts';
import { paddedReportData } from '../evidence/backend.ts';
import type { Handlers } from '../rpc/rpc.ts';
import type { AgentState } from '../state.ts';
import { appInfo } from './app-report.ts';
import { bootEvidence } from './gpu-evidence.ts';
import { freshCertifiedKey } from './issue-tls-key.ts';

/** Package version and revision of this build. */
export const version = async () => ({ version: VERSION, rev: REVISION });

/** The quote with everything around it, for report data that is already 64 bytes. */
export async function quoteResponse(state: AgentState, reportData: Uint8Array) {
  const { quote, eventLog, vmConfig, attestation } = await state.backend.quote(reportData);
  return { quote, event_log: eventLog, report_data: reportData, vm_config: vmConfig, attestation: attestation() };
}

/** @param signScope prefix of the names of the key of Sign; the app itself has none */
export function guestService(state: AgentState, signScope = ''): Handlers<'DstackGuest'> {
  const { keyCache, backend } = state;
  return {
    GetTlsKey: async (request) => freshCertifiedKey(state, request),

    async GetKey({ path, purpose, algorithm }) {
      const { key, signatureChain } = await keyCache.get(path, purpose, algorithm);
      return { key, signature_chain: [...signatureChain] };
    },

    GetQuote: async ({ report_data }) => quoteResponse(state, paddedReportData(report_data)),

    Attest: async ({ report_data }) => ({ attestation: await backend.attest(paddedReportData(report_data)) }),

    async EmitEvent({ event, payload }) {
      // an app must not be able to write a boot event into the log that identifies it
      if (isBootEvent(event)) {
        throw new DstackError('EVENT_NAME_RESERVED', `event name ${event} is reserved for the boot`, {
          field: 'event',
          value: event,
        });
      }
      if (event === '')
        throw new DstackError('RPC_REQUEST_INVALID', 'field event is empty', { field: 'event', value: '' });
      if (backend.emitEvent === undefined) {
        throw new DstackError('TEE_NOT_FOUND', 'canned evidence cannot measure events', {
          field: 'event',
          value: event,
        });
      }
      await backend.emitEvent(event, payload);
      return {};
    },

    Info: async () => appInfo(state, 'app'),

    async GpuInfo() {
      try {
        return { attestation: utf8((await bootEvidence()) ?? new Uint8Array(0), PATHS.gpuEvidence) };
      } catch {
        return { attestation: '' }; // damaged or unreadable: the frozen interface has no word for it
      }
    },

    async Sign({ algorithm, data }) {
      const { signData } = await import('../../keys/sign.ts');
      const { signature, publicKey, signatureChain } = await signData(keyCache, algorithm, data, signScope);
      return { signature, signature_chain: [...signatureChain], public_key: publicKey };
    },

    async Verify({ algorithm, data, signature, public_key }) {
      const { verifyData } = await import('../../keys/sign.ts');
      return { valid: await verifyData(algorithm, data, signature, public_key) };
    },

    Version: version,
  };
}
