/** Judges evidence of a VM on the host, with the product binary and nothing but files. */
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ensureBinaries } from '../../initramfs/vm/dev-image.ts';

const run = promisify(execFile);

export interface HostVerifier {
  /** what the app must measure, of its document and instance */
  measure(appCompose: string, instanceId: string): Promise<{ rtmr3: string | null; app_id: string }>;
  /** the JSON report; with `predicted` against what `measure` said last */
  verify(evidence: string | Uint8Array, args?: readonly string[]): Promise<{ verdict: string; checks: unknown[] }>;
}

/** Prepares root certificate and collateral of the simulator in a folder of its own. */
export async function hostVerifier(dir: string): Promise<HostVerifier> {
  const { util, sim } = await ensureBinaries();
  mkdirSync(dir, { recursive: true });
  const path = (name: string): string => join(dir, name);
  await run(sim, ['root-ca', '--out', path('root.pem')]);
  await run(sim, ['collateral', '--out', path('collateral.json')]);
  return {
    async measure(appCompose, instanceId) {
      writeFileSync(path('app-compose.json'), appCompose);
      const { stdout } = await run(util, ['measure', path('app-compose.json'), '--instance-id', instanceId, '--json']);
      writeFileSync(path('predicted.json'), stdout);
      return JSON.parse(stdout);
    },
    async verify(evidence, args = []) {
      writeFileSync(path('evidence'), evidence);
      const trust = ['--root-ca', path('root.pem'), '--collateral', path('collateral.json')];
      const predicted = ['--expect-measure', path('predicted.json')];
      const argv = ['verify', path('evidence'), ...trust, ...predicted, '--json', ...args];
      const { stdout } = await run(util, argv).catch((thrown: { stdout: string }) => thrown);
      return JSON.parse(stdout);
    },
  };
}
