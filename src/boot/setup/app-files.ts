/** Stage 1: what the app and the agent find under /dstack besides its keys. */
import { decryptEnv, formatEnvJson } from '../../config/encrypted-env.ts';
import { formatEnvFile } from '../../config/env-file.ts';
import { HOST_SHARED } from '../../config/paths.ts';
import { makeDir, makeLink, writeAtomic } from '../../sys/files.ts';
import { copyDir, need, type SetupContext } from './setup-context.ts';

/** Decrypts the environment for the start of the app; both files are written even when there is nothing in them. */
export async function writeEnvironment(context: SetupContext): Promise<void> {
  const { envCryptKey } = need(context, 'keys');
  const { encryptedEnv = new Uint8Array() } = need(context, 'hostFiles');
  const env = await decryptEnv(envCryptKey, encryptedEnv, need(context, 'compose').allowedEnvs);
  // systemd, as root, is the only reader of the first; the values are the app's secrets
  await writeAtomic(`${copyDir(context)}/${HOST_SHARED.decryptedEnv}`, formatEnvFile(env), 0o600);
  await writeAtomic(`${copyDir(context)}/${HOST_SHARED.decryptedEnvJson}`, formatEnvJson(env), 0o600);
}

/** The names under which the app knows its own description and its user's settings. */
export async function linkDocuments(context: SetupContext): Promise<void> {
  const { workDir, runDir } = context.options;
  await makeLink(`.host-shared/${HOST_SHARED.appCompose}`, `${workDir}/${HOST_SHARED.appCompose}`);
  await makeLink(`.host-shared/${HOST_SHARED.userConfig}`, `${workDir}/user_config`);
  await makeDir(runDir);
}

/** agent.json: tells the guest agent which disks to report. */
export async function writeAgentConfig(context: SetupContext): Promise<void> {
  const { workDir, mountPoint } = context.options;
  const config = { default: { core: { data_disks: ['/', mountPoint] } } };
  await writeAtomic(`${workDir}/agent.json`, JSON.stringify(config, null, 2), 0o644);
}

/** Points docker at the registry mirror of the host, if there is one. */
export async function configureDocker(context: SetupContext): Promise<void> {
  await context.services.setupDockerRegistry(need(context, 'sysConfig').dockerRegistry, context.options.dockerConfig);
}
