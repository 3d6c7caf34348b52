/**
 * The start of the app as a list of steps (dstack boot order, app start). The boot's phase runner runs it: it logs, tells
 * the host and records the timeline. This room only knows the steps.
 */
import { basename } from 'node:path';
import { type AppCompose, checkSnapshotter, readsComposeFile } from '../config/app-compose.ts';
import { hostShared, PATHS } from '../config/paths.ts';
import { readAppCompose } from '../config/read-app-compose.ts';
import { parseSysConfig } from '../config/sys-config.ts';
import { ifExists, readLimited } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { readAppEnvironment } from './app-environment.ts';
import { composeProject } from './compose-file.ts';
import { DOCKER_ROOT, releaseContainers } from './hold.ts';
import { logIn, wantsLogin } from './login-step.ts';
import type { Runner } from './runner.ts';
import { runnerOf } from './runner-of.ts';
import { type Environment, sourceScript } from './scripts.ts';
import { FIRST_STEP, LAST_STEP } from './step-names.ts';

export interface DeployContext {
  readonly compose: AppCompose;
  readonly runner: Runner;
  readonly dir: string;
  readonly waitMs: number;
  readonly scriptTimeoutMs?: number | undefined;
  readonly tell: (text: string) => void;
  /** where the login to a registry is kept while the start lasts */
  readonly loginDir: string;
  /** grows by a registry login and by what the pre-launch script exports */
  env: Environment;
  /** set by a registry login */
  redact?: (text: string) => string;
  /** the pre-launch script ended the start with `exit 0` */
  ended: boolean;
}

export interface DeployStep {
  readonly name: string;
  notify?(context: DeployContext): string | undefined;
  when?(context: DeployContext): boolean;
  run(context: DeployContext): Promise<void>;
}

export const START: readonly DeployStep[] = [
  { name: FIRST_STEP, run: (context) => context.runner.check(context) },
  // before the pre-launch script, which may pull as well
  {
    name: 'log in to the registry',
    when: wantsLogin,
    notify: () => 'logging in to the registry',
    run: logIn,
  },
  {
    name: 'run the pre-launch script',
    when: ({ compose }) => compose.hasPreLaunch,
    notify: () => 'pre-launch',
    run: preLaunch,
  },
  { name: 'let waiting containers go', run: letGo },
  {
    name: 'start the app',
    when: ({ ended }) => !ended,
    notify: ({ runner }) => runner.progress,
    run: (context) => context.runner.start(context),
  },
  {
    name: 'remove what is not used',
    when: ({ ended, runner }) => !ended && runner.prune !== undefined,
    run: async (context) => context.runner.prune?.(context),
  },
  { name: LAST_STEP, when: ({ ended }) => !ended, notify: () => 'done', run: async () => {} },
];

export const STOP: readonly DeployStep[] = [{ name: 'stop the app', run: (context) => context.runner.stop(context) }];

/** Containers of the last boot waited for the pre-launch script, whatever it decided. */
async function letGo({ compose, dir }: DeployContext): Promise<void> {
  const text = readsComposeFile(compose) ? compose.dockerComposeFile : undefined;
  const project = text === undefined ? undefined : (await composeProject(text, basename(dir))).project;
  await releaseContainers(DOCKER_ROOT, project === undefined ? {} : { project });
}

const REMIND_MS = 60_000;

async function preLaunch(context: DeployContext): Promise<void> {
  const { compose, dir, env } = context;
  // a script that waits for something that never comes must not look like a machine that is busy
  const began = performance.now();
  const reminder = setInterval(() => {
    const text = `pre-launch: still running after ${ui.duration(performance.now() - began)}`;
    ui.warn(text);
    context.tell(text);
  }, REMIND_MS);
  const options = { cwd: dir, env, timeoutMs: context.scriptTimeoutMs };
  const exported = await sourceScript('pre_launch_script', compose.preLaunchScript ?? '', options).finally(() =>
    clearInterval(reminder),
  );
  if (exported === undefined) {
    context.ended = true;
    ui.warn('the pre-launch script ended the start with exit 0: the app is not started');
    return;
  }
  const fresh = [...exported.keys()].filter((name) => exported.get(name) !== env.get(name));
  if (fresh.length > 0) ui.debug(`exported by the pre-launch script: ${fresh.join(' ')}`);
  context.env = exported;
}

const SYS_CONFIG_LIMIT = 1024 * 1024;

/** Health checks that take longer are reported as undecided, and the start is over. */
export const WAIT_MS = 120_000;

export interface DeployOptions {
  readonly waitMs?: number;
  readonly scriptTimeoutMs?: number | undefined;
  readonly tell?: (text: string) => void;
  readonly loginDir?: string;
}

/** /run is a memory file system. */
const LOGIN_DIR = `${PATHS.run}/registry-login`;

/** Reads what a deploy command needs. @throws RUNNER_UNSUPPORTED, DOCUMENT_INVALID, other document errors */
export async function deployContext(dir: string, options: DeployOptions = {}): Promise<DeployContext> {
  const path = hostShared('appCompose');
  const compose = await readAppCompose(path);
  checkSnapshotter(compose);
  const env = new Map(await readAppEnvironment(hostShared('decryptedEnvJson'), compose.allowedEnvs));
  if (!env.has('PCCS_URL')) env.set('PCCS_URL', process.env['PCCS_URL'] || (await pccsUrl()));
  const { waitMs = WAIT_MS, scriptTimeoutMs, tell = () => {}, loginDir = LOGIN_DIR } = options;
  return { compose, runner: await runnerOf(compose), dir, env, waitMs, scriptTimeoutMs, tell, loginDir, ended: false };
}

async function pccsUrl(): Promise<string> {
  const path = hostShared('sysConfig');
  const raw = await ifExists(() => readLimited(path, SYS_CONFIG_LIMIT));
  return raw === undefined ? '' : (parseSysConfig(raw, path).pccsUrl ?? '');
}

export { logOut } from './login-step.ts';
