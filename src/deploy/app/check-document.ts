/** Everything that a boot would refuse of an app-compose.json, found without one, by the code that the boot uses. */
import { type AppCompose, checkFeatureGates, parseAppCompose, readsComposeFile } from '../../config/app-compose.ts';
import { checkRequirements } from '../../config/requirements.ts';
import { storageOptions } from '../../config/storage-options.ts';
import { DstackError } from '../../errors.ts';
import { runnerOf } from '../runner-of.ts';
import { type ComposeCheckOptions, checkComposeText } from './check-compose.ts';
import type { Findings } from './finding.ts';
import type { ImageFacts } from './image-facts.ts';

/** Fields that no guest reads, but tools of the platform or scripts that they bring along. */
const READ_ELSEWHERE = ['docker_config', 'default_gateway_domain'];
const PLATFORM = 'dstack-tdx';

export interface DocumentCheckOptions extends Pick<ComposeCheckOptions, 'suggest'> {
  readonly image?: ImageFacts;
}

/** @returns the document, unless it cannot be read */
export async function checkAppDocument(
  raw: Uint8Array,
  path: string,
  findings: Findings,
  { image, suggest = false }: DocumentCheckOptions = {},
): Promise<AppCompose | undefined> {
  let app: AppCompose;
  try {
    app = parseAppCompose(raw, path);
  } catch (thrown) {
    refused(thrown, path, findings);
    return undefined;
  }
  unknownFields(app, findings);
  await asked(findings, 'manifest_version', () => checkFeatureGates(app));
  await asked(findings, 'storage_fs', () => void storageOptions({ last: () => undefined }, app));
  await asked(findings, 'runner', () => runnerOf(app));
  await requirements(app, findings, image);
  keyProvider(app, findings);
  if (app.runner === 'bash' && app.bashScript === undefined)
    findings.add('refused', 'DOCUMENT_INVALID', 'bash_script', 'runner bash needs it, and it is missing');
  if (!readsComposeFile(app)) return app;
  if (app.dockerComposeFile === undefined) {
    findings.add(
      'refused',
      'COMPOSE_INVALID',
      'docker_compose_file',
      `runner ${app.runner} needs it, and it is missing`,
    );
    return app;
  }
  const version = image?.composeVersion;
  await checkComposeText(app.dockerComposeFile, 'docker_compose_file', findings, {
    app,
    suggest,
    ...(version === undefined ? {} : { composeVersion: version }),
  });
  return app;
}

function refused(thrown: unknown, where: string, findings: Findings): void {
  if (!(thrown instanceof DstackError)) throw thrown;
  findings.add('refused', thrown.code, thrown.field ?? where, thrown.message, thrown.hint);
}

async function asked(findings: Findings, where: string, check: () => unknown): Promise<void> {
  try {
    await check();
  } catch (thrown) {
    refused(thrown, where, findings);
  }
}

function unknownFields({ ignored }: AppCompose, findings: Findings): void {
  for (const name of ignored) {
    if (READ_ELSEWHERE.includes(name)) continue;
    const text = 'no guest reads this field: it has no effect';
    findings.add('warning', 'unknown-field', name, text, 'correct its name, or remove it');
  }
}

async function requirements(app: AppCompose, findings: Findings, image: ImageFacts | undefined): Promise<void> {
  const wanted = app.requirements;
  if (wanted === undefined) return;
  if (wanted.launchTokenHash !== undefined) {
    const text = 'the boot needs the launch token in the user configuration';
    findings.add('note', 'launch-token', 'requirements.launch_token_hash', text);
  }
  const { launchTokenHash: _, osVersion, tdxMeasureAcpiTables: __, ...known } = wanted;
  const osKnown = image !== undefined && image.version !== '';
  const judged = { ...known, ...(osKnown && osVersion !== undefined ? { osVersion } : {}) };
  await asked(findings, 'requirements', () =>
    checkRequirements({ requirements: judged }, { osVersion: image?.version ?? '', platform: PLATFORM }),
  );
  if (osVersion !== undefined && !osKnown)
    findings.add(
      'note',
      'os-version',
      'requirements.os_version',
      `the image must satisfy ${osVersion}: --image says whether it does`,
    );
}

function keyProvider({ keyProvider: kind, noInstanceId }: AppCompose, findings: Findings): void {
  if (kind === 'tpm')
    findings.add(
      'refused',
      'KEY_PROVIDER_UNSUPPORTED',
      'key_provider',
      'this version does not support key provider tpm',
      'use kms, local or none',
    );
  if (kind === 'none') {
    const text = 'keys and data disk live for one boot: with none, every boot begins with new ones';
    findings.add('note', 'keys-for-one-boot', 'key_provider', text, 'use kms if data or keys must stay');
  }
  if (noInstanceId && kind === 'kms')
    findings.add('note', 'one-disk-key', 'no_instance_id', 'all instances of the app have the same disk key');
}
