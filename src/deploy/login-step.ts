/** The step of `deploy start` that logs in to a registry, and what happens when that fails. */
import { hostShared } from '../config/paths.ts';
import { parseSysConfig } from '../config/sys-config.ts';
import { DstackError, errorChain } from '../errors.ts';
import { ifExists, readLimited } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { forgetLogin, HUB, keepLogin, registryLogin, tryLogin, withoutPassword } from './registry-login.ts';
import { AMAZON_REGISTRY, LOGIN_PASSWORD, LOGIN_USERNAME } from './registry-variables.ts';
import type { Runner, RunnerContext } from './runner.ts';
import type { Environment } from './scripts.ts';

export interface LoginContext extends RunnerContext {
  readonly runner: Runner;
  /** folder on a memory file system, made and removed by the login */
  readonly loginDir: string;
  env: Environment;
  redact?: (text: string) => string;
}

const set = (env: Environment, name: string): boolean => (env.get(name) ?? '') !== '';

export const wantsLogin = ({ runner, env }: Pick<LoginContext, 'runner' | 'env'>): boolean =>
  runner.logsIn !== undefined && [LOGIN_USERNAME, LOGIN_PASSWORD, AMAZON_REGISTRY].some((name) => set(env, name));

/**
 * Logs in and hands the credentials to everything that the start runs. A login that fails ends the start, unless all images
 * are here already: a registry that is down must not keep an app from coming back.
 * @throws REGISTRY_INVALID, REGISTRY_MIRRORED, REGISTRY_LOGIN_REFUSED, REGISTRY_UNREACHABLE, DOCKER_UNAVAILABLE
 */
export async function logIn(context: LoginContext): Promise<void> {
  const { runner, env, loginDir } = context;
  const login = registryLogin(env);
  if (login === undefined) {
    if (set(env, AMAZON_REGISTRY) && !context.compose.hasPreLaunch) {
      ui.warn(
        `${AMAZON_REGISTRY} is set, but this program does not log in to Amazon: send ${LOGIN_USERNAME}=AWS and as ` +
          `${LOGIN_PASSWORD} what \`aws ecr get-login-password\` prints`,
      );
    }
    return;
  }
  if (login.server === HUB) await refuseMirror();
  context.tell(`logging in to the registry ${login.host}`);
  try {
    if (runner.logsIn === 'dockerd') await tryLogin(login);
  } catch (thrown) {
    if (!(await canGoOn(context, thrown))) throw thrown;
    ui.warn(`${errorChain(thrown)}: all images of the app are here, so the start goes on without the registry`);
    return;
  }
  context.redact = (text) => withoutPassword(text, login);
  context.env = await keepLogin(login, loginDir, env);
  ui.info(
    runner.logsIn === 'dockerd'
      ? `logged in to the registry ${login.host}`
      : `the login to the registry ${login.host} is tried by the pull`,
  );
}

const SYS_CONFIG_LIMIT = 1024 * 1024;

/** dockerd gives a mirror of Docker Hub what it would give Docker Hub, and it is the host that names the mirror. */
async function refuseMirror(): Promise<void> {
  const path = hostShared('sysConfig');
  const raw = await ifExists(() => readLimited(path, SYS_CONFIG_LIMIT));
  const mirror = raw === undefined ? '' : (parseSysConfig(raw, path).dockerRegistry ?? '');
  if (mirror === '') return;
  const message = 'the host names a mirror of Docker Hub, which would get the password of Docker Hub';
  throw new DstackError('REGISTRY_MIRRORED', message, { path, field: 'docker_registry', value: mirror });
}

async function canGoOn(context: LoginContext, thrown: unknown): Promise<boolean> {
  const registry =
    thrown instanceof DstackError && ['REGISTRY_LOGIN_REFUSED', 'REGISTRY_UNREACHABLE'].includes(thrown.code);
  if (!registry || context.runner.hasImages === undefined) return false;
  try {
    return await context.runner.hasImages(context);
  } catch (why) {
    ui.debug(`whether the images are here is not known: ${errorChain(why)}`);
    return false;
  }
}

/** At the end of a start, whatever came of it. */
export async function logOut({ loginDir }: Pick<LoginContext, 'loginDir'>): Promise<void> {
  await forgetLogin(loginDir);
}
