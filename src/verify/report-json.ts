/** The report of a verification as JSON. */
import { toHex } from '../codec/hex.ts';
import { appInfoJson } from '../tdx/app-identity.ts';
import type { SystemReport } from './system-check.ts';
import type { VerifyReport } from './verify-evidence.ts';

/** Raised when a field changes its meaning or goes; new fields do not raise it. */
export const REPORT_VERSION = 1;

/** Everything that was found; hex and RFC 3339 throughout. */
export function reportJson(
  report: VerifyReport,
  context: { at: number; root: { name: string; sha256: string; intel: boolean } },
): object {
  const { evidence, quote, quoteCheck, identity, proof } = report;
  const body = quote?.body;
  return {
    version: REPORT_VERSION,
    verdict: report.verdict,
    proof: { ...proof, machine: { ...proof.machine, root: context.root } },
    not_proven: report.notProven,
    input: { kind: evidence?.kind ?? null, form: evidence?.form ?? null, bytes: report.bytes },
    at: new Date(context.at).toISOString(),
    root_ca: context.root,
    collateral: quoteCheck?.collateral && {
      source: quoteCheck.collateral.source,
      valid_until: new Date(quoteCheck.collateral.validUntil).toISOString(),
    },
    tcb: quoteCheck?.tcb && { status: quoteCheck.tcb.status, advisory_ids: quoteCheck.tcb.advisories },
    checks: report.checks,
    first_drift: report.drift ?? null,
    system: report.system === undefined ? null : systemJson(report.system),
    registers: body && {
      mrtd: toHex(body.mrtd),
      rtmr0: toHex(body.rtmrs[0]),
      rtmr1: toHex(body.rtmrs[1]),
      rtmr2: toHex(body.rtmrs[2]),
      rtmr3: toHex(body.rtmrs[3]),
      mr_config_id: toHex(body.mrConfigId),
      mr_owner: toHex(body.mrOwner),
      mr_owner_config: toHex(body.mrOwnerConfig),
      mr_seam: toHex(body.mrSeam),
      td_attributes: toHex(body.tdAttributes),
      report_data: toHex(body.reportData),
    },
    identity: identity && {
      ...appInfoJson(identity.info),
      // without a genuine quote there is no device
      device_id: quoteCheck?.platform === undefined ? null : toHex(identity.info.deviceId),
      key_provider: identity.keyProvider ?? null,
    },
    events: report.rows.map(({ index, event, version, payload, digest, register, state, why }) => {
      return { index, event, version, payload: toHex(payload), digest, rtmr3: register, state, why };
    }),
    firmware_events: report.firmware,
  };
}

/** The system, and what it was compared with; `acpi` are the digests that only the host vouches for. */
function systemJson({ verdict, reference, drift, acpi, assumed }: SystemReport): unknown {
  return {
    verdict,
    reference: { kind: reference.kind, name: reference.name },
    os_image_hash: reference.osImageHash === undefined ? null : toHex(reference.osImageHash),
    first_drift: drift ?? null,
    acpi: acpi ?? null,
    assumed,
  };
}
