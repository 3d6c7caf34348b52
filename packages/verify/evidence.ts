import { parseCollateral } from '../../src/verify/collateral-format.ts';
import { parseExpectations } from '../../src/verify/expectations.ts';
import { reportJson } from '../../src/verify/report-json.ts';
import { allowedStatuses } from '../../src/verify/tcb-policy.ts';
import { anchorOfFile, intelAnchor } from '../../src/verify/trust-anchor.ts';
import { verifyEvidence as judge } from '../../src/verify/verify-evidence.ts';

export async function verifyEvidence(
  bytes: Uint8Array,
  options: { collateral: string; root?: string; at?: number; expect?: string[] },
): Promise<unknown> {
  const anchor = options.root === undefined ? intelAnchor() : anchorOfFile(new TextEncoder().encode(options.root));
  const at = options.at ?? Date.now();
  const collateral = parseCollateral(new TextEncoder().encode(options.collateral), 'collateral');
  const report = await judge(bytes, {
    root: anchor.certificate,
    at,
    allowed: allowedStatuses([]),
    expect: parseExpectations(options.expect ?? []),
    collateral: async () => ({ collateral, source: 'given' }),
  });
  return reportJson(report, { at, root: { name: anchor.name, sha256: anchor.sha256, intel: anchor.intel } });
}
