/**
 * The canned backend (dstack simulator, guest agent simulator): evidence from a file, for client development on any
 * machine. It proves nothing, and it must never run where a real device could: then it refuses to start.
 */
import type { SimulatorConfig } from '../../config/agent-config.ts';
import { DstackError } from '../../errors.ts';
import { readLimited, utf8 } from '../../sys/files.ts';
import {
  ATTESTATION_LIMIT,
  type Attestation,
  type AttestationForm,
  decodeVersioned,
  encodeVersioned,
  tdxEventLog,
  tdxQuote,
} from '../../tdx/attestation.ts';
import { fullLogJson, parseLogJson } from '../../tdx/log-json.ts';
import { tdxAvailable } from '../../tdx/platform.ts';
import { parseQuote, V4_REPORT_DATA_OFFSET } from '../../tdx/quote-layout.ts';
import { isRuntimeEvent } from '../../tdx/tdx-event.ts';
import type { TdxMachine } from '../../tdx/tdx-machine.ts';
import type { Backend } from './backend.ts';

const QUOTE_LIMIT = 65_536;
const LOG_LIMIT = 16 * 1024 * 1024;

/**
 * Loads the fixture.
 * @param vmConfig vm_config text of the system configuration
 * @throws CONFIG_INVALID on a machine with a TEE device; ATTESTATION_INVALID, QUOTE_INVALID, EVENT_LOG_INVALID
 */
export async function cannedBackend(config: SimulatorConfig, vmConfig: string, machine: TdxMachine): Promise<Backend> {
  if (tdxAvailable(machine)) {
    throw new DstackError('CONFIG_INVALID', 'canned evidence is configured on a machine with a real TDX device', {
      field: 'default.core.simulator.enabled',
      value: true,
      hint: 'remove [default.core.simulator]: canned evidence is for development without a TEE',
    });
  }
  const { attestation: fixture, form } = await loadFixture(config);
  const { version } = parseQuote(tdxQuote(fixture)); // a fixture of another platform is refused now, not at the first request
  const eventLog = JSON.stringify(fullLogJson(tdxEventLog(fixture), { preimages: true }));
  const patched = (reportData: Uint8Array) =>
    config.patchReportData ? withReportData(fixture, version, reportData) : fixture;
  return {
    kind: 'canned',
    attestation: async (reportData) => patched(reportData),
    async quote(reportData) {
      const attestation = patched(reportData);
      return {
        quote: tdxQuote(attestation),
        eventLog,
        vmConfig,
        attestation: () => encodeVersioned(attestation, 'V1'),
      };
    },
    attest: async (reportData, wanted = form) => encodeVersioned(patched(reportData), wanted),
    identity: async () => fixture,
  };
}

async function loadFixture(config: SimulatorConfig): Promise<{ attestation: Attestation; form: AttestationForm }> {
  if (config.quoteFile === undefined || config.eventLogFile === undefined) {
    return decodeVersioned(await readLimited(config.attestationFile ?? 'attestation.bin', ATTESTATION_LIMIT));
  }
  const quote = await readLimited(config.quoteFile, QUOTE_LIMIT);
  const eventLog = parseLogJson(utf8(await readLimited(config.eventLogFile, LOG_LIMIT), config.eventLogFile));
  const runtimeEvents = eventLog
    .filter(isRuntimeEvent)
    .map(({ event, payload, version }) => ({ event, payload, version }));
  const { reportData } = parseQuote(quote).body;
  return {
    attestation: { platform: { kind: 'tdx', quote, eventLog }, reportData, runtimeEvents, config: '' },
    form: 'V0',
  };
}

/** Writes report data into the quote and beside it. The signature of the quote no longer holds. */
function withReportData(fixture: Attestation, version: 4 | 5, reportData: Uint8Array): Attestation {
  const { platform } = fixture;
  if (platform.kind !== 'tdx' && platform.kind !== 'gcp-tdx') return fixture;
  const quote = new Uint8Array(platform.quote);
  quote.set(reportData, V4_REPORT_DATA_OFFSET + (version === 5 ? 6 : 0));
  return { ...fixture, platform: { ...platform, quote }, reportData: new Uint8Array(reportData) };
}
