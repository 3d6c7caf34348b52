/** Everything that a boot would refuse of an app-compose.json, found without one, by the code that the boot uses. */
import { type AppCompose, checkFeatureGates, parseAppCompose, readsComposeFile } from '../../config/app-compose.ts';
import { checkRequirements } from '../../config/requirements.ts';
import { storageOptions } from '../../config/storage-options.ts';
import { isObject } from '../../config/strict-json.ts';
import { DstackError } from '../../errors.ts';
import { runnerOf } from '../runner-of.ts';
import { type ComposeCheckOptions, checkComposeText } from './check-compose.ts';
import type { Findings } from './finding.ts';
import type { ImageFacts } from './image-facts.ts';

/** Fields that the guest, or a tool of the platform, reads. Others have no effect, so one may be a typing error. */
const FIELDS = new Set(
  (
    'manifest_version name features runner snapshotter docker_compose_file init_script public_logs public_sysinfo ' +
    'public_tcbinfo kms_enabled gateway_enabled tproxy_enabled local_key_provider_enabled key_provider key_provider_id ' +
    'allowed_envs no_instance_id secure_time storage_fs swap_size event_log_version port_policy requirements ' +
    'verity_volumes pre_launch_script bash_script docker_config agent_sockets default_gateway_domain'
  ).split(' '),
);
const PLATFORM = 'dstack-tdx';

export interface DocumentCheckOptions extends Pick<ComposeCheckOptions, 'suggest'> {
  readonly image?: ImageFacts;
}

/** @returns the document, unless it cannot be read */
export async function checkDocument(
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

function unknownFields({ document }: AppCompose, findings: Findings): void {
  if (!isObject(document)) return;
  for (const name of Object.keys(document)) {
    if (!FIELDS.has(name))
      findings.add(
        'warning',
        'unknown-field',
        name,
        'no guest reads this field: it has no effect',
        'correct its name, or remove it',
      );
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
    const text = 'keys and data disk live for one boot: with none, every boot begins anew';
    findings.add('note', 'keys-for-one-boot', 'key_provider', text, 'use kms if data or keys must stay');
  }
  if (noInstanceId && kind === 'kms')
    findings.add('note', 'one-disk-key', 'no_instance_id', 'all instances of the app have the same disk key');
}
