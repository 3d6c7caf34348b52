/** Judges evidence of a VM on the host, with the product binary and nothing but files. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ensureBinaries } from './dev-image.ts';

const run = promisify(execFile);

export interface HostReport {
  readonly verdict: string;
  readonly proof?: Readonly<Record<'machine' | 'system' | 'app' | 'fresh', { readonly state: string }>>;
  readonly checks: readonly { readonly name: string; readonly outcome: string; readonly detail: string }[];
  /** the operating system, when there was something to compare it with */
  readonly system?: { readonly verdict: string } | null;
}

export interface HostVerifier {
  /** what the app must measure, of its document and instance */
  measure(appCompose: string, instanceId: string): Promise<{ rtmr3: string | null; app_id: string }>;
  /** writes an expectation file of the app and of an image folder; returns the option that names it */
  init(appCompose: string, folder: string): Promise<readonly string[]>;
  /** the JSON report, against what `measure` said last */
  verify(evidence: string | Uint8Array, args?: readonly string[]): Promise<HostReport>;
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
    async init(appCompose, folder) {
      writeFileSync(path('app-compose.json'), appCompose);
      const [document, out, root] = [path('app-compose.json'), path('expect.json'), path('root.pem')];
      await run(util, ['verify', 'init', document, '--image', folder, '--root-ca', root, '--out', out]);
      return ['--expect-file', out];
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

/** What evidence of a VM proves: that it runs this image, and this app. */
export interface Proof {
  readonly system: boolean;
  readonly app: boolean;
  /** names and words of the checks that did not pass */
  readonly why: readonly string[];
}

/**
 * Asks for a quote with a number of this moment and judges the answer with `verify`: the system by the image folder, the app
 * by its document.
 * @param quote asks the agent: report data in hex, the answer as it came
 */
export async function prove(
  verifier: HostVerifier,
  vm: { readonly folder: string; readonly appCompose: string; readonly instanceId: string },
  quote: (reportData: string) => Promise<unknown>,
): Promise<Proof> {
  await verifier.measure(vm.appCompose, vm.instanceId);
  const nonce = randomBytes(64).toString('hex');
  const answer = JSON.stringify(await quote(nonce));
  return proofOf(await verifier.verify(answer, ['--image', vm.folder, '--expect', `report-data=${nonce}`]));
}

/** A report in two words. The evidence as a whole must be valid for either. */
export function proofOf({ verdict, system, checks }: HostReport): Proof {
  const why = checks.filter(({ outcome }) => outcome === 'fail' || outcome === 'unknown');
  return {
    system: verdict === 'valid' && system?.verdict === 'proven',
    app: verdict === 'valid',
    why: why.map(({ name, detail }) => `${name}: ${detail}`),
  };
}
