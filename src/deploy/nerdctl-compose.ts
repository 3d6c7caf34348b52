/** Runner `nerdctl-compose`: the compose file on containerd, without docker (dstack boot order, app start). */
import { DstackError, errorChain } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import { installed } from '../sys/exec.ts';
import { exists } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { COMPOSE_FILE, composeServices, extractComposeFile } from './compose-file.ts';
import { type ComposeProgramOptions, composeProgram, servicesPlan, stopProject } from './compose-program.ts';
import { warnOfLooseImages } from './image-references.ts';
import type { Runner, RunnerContext } from './runner.ts';
import type { ServiceStatus } from './service-status.ts';

const DEFAULT_SNAPSHOTTER = 'overlayfs';

const nerdctl = (context: RunnerContext, args: readonly string[], options?: ComposeProgramOptions) => {
  const namespace = context.env.get('NERDCTL_NAMESPACE') ?? 'dstack';
  return composeProgram('nerdctl', context, ['--namespace', namespace, ...args], options);
};

/** @throws COMPOSE_INVALID for a service that would have to be built: nerdctl has no builder here */
async function services({ compose }: RunnerContext) {
  const all = await composeServices(compose.dockerComposeFile ?? '');
  const built = all.find((service) => service.built);
  if (built !== undefined) {
    throw new DstackError('COMPOSE_INVALID', `service ${built.name} has a build section`, {
      field: `services.${built.name}.build`,
      hint: 'runner nerdctl-compose cannot build images: name a finished one, or use runner docker-compose',
    });
  }
  return all;
}

export const nerdctlCompose: Runner = {
  name: 'nerdctl-compose',
  progress: 'starting containers',
  logsIn: 'pull',

  async check(context) {
    if (!isDryRun() && !(await installed('nerdctl')))
      throw new DstackError('COMMAND_NOT_FOUND', 'program nerdctl is not installed', { value: 'nerdctl' });
    warnOfLooseImages(await services(context));
  },

  async plan(context) {
    return servicesPlan(await services(context));
  },

  async start(context) {
    await services(context);
    await extractComposeFile(context.compose, context.dir);
    const snapshotter = context.compose.snapshotter ?? DEFAULT_SNAPSHOTTER;
    try {
      await nerdctl(context, [
        '--snapshotter',
        snapshotter,
        'compose',
        '-f',
        COMPOSE_FILE,
        'up',
        '--remove-orphans',
        '-d',
      ]);
    } catch (thrown) {
      throw new DstackError('COMPOSE_UP_FAILED', 'failed to start containers', { cause: thrown });
    }
  },

  async prune(context) {
    try {
      await nerdctl(context, ['image', 'prune', '-af']);
    } catch (thrown) {
      ui.warn(`nerdctl image prune failed: ${errorChain(thrown)}`);
    }
  },

  stop: (context) => stopProject(context, (args, options) => nerdctl(context, args, options)),

  async status(context) {
    if (!(await exists(`${context.dir}/${COMPOSE_FILE}`))) return [];
    const { stdout } = await nerdctl(context, ['compose', '-f', COMPOSE_FILE, 'ps', '-a', '--format', 'json'], {
      quiet: true,
    });
    return parsePs(stdout);
  },
};

/** `nerdctl compose ps --format json`: one array, or one object a line. nerdctl has no health checks. */
export function parsePs(text: string): ServiceStatus[] {
  const trimmed = text.trim();
  if (trimmed === '') return [];
  const items: unknown[] = trimmed.startsWith('[')
    ? (JSON.parse(trimmed) as unknown[])
    : trimmed.split('\n').map((line) => JSON.parse(line) as unknown);
  return items.map((item) => {
    const { Service, Name, Image, State, ExitCode } = item as Record<string, unknown>;
    const state = String(State ?? '');
    const exitCode = Number(ExitCode ?? 0);
    const common = {
      service: String(Service ?? ''),
      container: String(Name ?? ''),
      image: String(Image ?? ''),
      state,
      health: '',
      exitCode,
      restarts: 0,
    };
    if (state === 'running') return { ...common, verdict: 'ready' };
    if (exitCode === 0) return { ...common, verdict: 'done' };
    return { ...common, verdict: 'failed', stage: 'exit', words: `ended with exit status ${exitCode}` };
  });
}
