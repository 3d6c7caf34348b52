/** The real backend: quotes of this TDX guest. */
import { EMPTY_BYTES } from '../../codec/bytes.ts';
import { encodeVersioned, tdxEventLog, tdxQuote } from '../../tdx/attestation.ts';
import { type EventLogOptions, emitEvent } from '../../tdx/event-log.ts';
import { quoteLogJson } from '../../tdx/log-json.ts';
import { ownEvidence } from '../../tdx/report-identity.ts';
import { takeAttestation } from '../../tdx/take-evidence.ts';
import type { Backend } from './backend.ts';

/**
 * @param vmConfig vm_config text of the system configuration
 * @param machine where the device and the event log are
 */
export function tdxBackend(vmConfig: string, machine: EventLogOptions): Backend {
  const take = (reportData: Uint8Array) => takeAttestation(reportData, { ...machine, config: vmConfig });
  return {
    kind: 'tdx',
    attestation: take,
    async quote(reportData) {
      const attestation = await take(reportData);
      const eventLog = quoteLogJson(tdxEventLog(attestation));
      return { quote: tdxQuote(attestation), eventLog, vmConfig, attestation: () => EMPTY_BYTES };
    },
    attest: async (reportData, form) => encodeVersioned(await take(reportData), form),
    identity: () => ownEvidence({ ...machine, config: vmConfig }),
    async emitEvent(name, payload) {
      await emitEvent(name, payload, machine);
    },
  };
}
