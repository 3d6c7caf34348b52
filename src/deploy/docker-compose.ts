/** Runner `docker-compose`: the compose file from app-compose.json, started by docker's own compose (dstack boot order, app start). */
import { DstackError, type ErrorCode, errorChain } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import { exists } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { COMPOSE_FILE, composeServices, extractComposeFile } from './compose-file.ts';
import { activeServices, type ComposeModel, composeModel } from './compose-model.ts';
import { type ComposeProgramOptions, composeProgram, servicesPlan, stopProject } from './compose-program.ts';
import { ComposeProgress, type Stage } from './compose-progress.ts';
import { dockerAnswers, dockerSocket } from './docker-api.ts';
import { listImages } from './docker-control.ts';
import { familiarName, warnOfLooseImages } from './image-references.ts';
import { pruneImages } from './prune.ts';
import { currentStatuses, waitForServices } from './readiness.ts';
import type { Runner, RunnerContext } from './runner.ts';
import type { ServiceStatus } from './service-status.ts';
import { failureText } from './service-status.ts';

/** The host is told of progress at most so often. */
const TELL_MS = 2000;

const docker = (context: RunnerContext, args: readonly string[], options?: ComposeProgramOptions) =>
  composeProgram('docker', context, args, options);

export const dockerCompose: Runner = {
  name: 'docker-compose',
  progress: 'starting containers',
  logsIn: 'dockerd',
  hasImages,

  async check(context) {
    if (isDryRun()) return;
    if (!(await dockerAnswers())) {
      throw new DstackError('DOCKER_UNAVAILABLE', `docker does not answer on ${dockerSocket()}`, {
        path: dockerSocket(),
      });
    }
    // Before the pre-launch script, which may change what it cannot undo. Variables are not filled in yet: the script may
    // export some, so only docker's own look at the file, after it, decides about them.
    warnOfLooseImages(await written(context));
  },

  async plan(context) {
    const all = await written(context);
    return servicesPlan(activeServices({ project: '', services: all }, context.env));
  },

  async start(context) {
    await extractComposeFile(context.compose, context.dir);
    if (isDryRun()) {
      await docker(context, UP);
      return;
    }
    const model = await composeModel(context);
    started.set(context, model);
    const progress = await up(context, model);
    if (context.waitMs === 0) return;
    const statuses = await waitForServices({
      model,
      env: context.env,
      timeoutMs: context.waitMs,
      complaints: progress.complaints,
      onChange: (all) => context.tell(`starting containers: ${count(all)}`),
    });
    report(statuses);
  },

  async prune(context) {
    if (isDryRun()) return;
    await pruneImages(started.get(context) ?? (await composeModel(context)));
    try {
      // anonymous volumes without a container: a compose file cannot name them
      await docker(context, ['volume', 'prune', '-f']);
    } catch (thrown) {
      ui.warn(`docker volume prune failed: ${errorChain(thrown)}`);
    }
  },

  stop: (context) => stopProject(context, (args, options) => docker(context, args, options)),

  async status(context) {
    if (!(await exists(`${context.dir}/${COMPOSE_FILE}`))) return [];
    return currentStatuses({ model: await composeModel(context), env: context.env });
  },
};

async function hasImages(context: RunnerContext): Promise<boolean> {
  await extractComposeFile(context.compose, context.dir);
  const services = activeServices(await composeModel(context), context.env);
  const here = new Set((await listImages()).flatMap(({ references }) => references.map(familiarName)));
  // a build may begin with an image that is not here
  return services.every(({ image, built }) => !built && here.has(familiarName(image)));
}

/** What the start has asked docker already; under emulation the same question costs seconds. */
const started = new WeakMap<RunnerContext, ComposeModel>();

/** The services as the measured file has them. @throws COMPOSE_INVALID */
const written = ({ compose }: RunnerContext) => composeServices(compose.dockerComposeFile ?? '');

const UP = ['compose', '-f', COMPOSE_FILE, 'up', '--remove-orphans', '-d', '--build'];

/** `docker compose up`, its progress told to the host; on failure the error says what became of each service. */
async function up(context: RunnerContext, model: ComposeModel): Promise<ComposeProgress> {
  const progress = new ComposeProgress();
  const services = activeServices(model, context.env).length;
  let told = '';
  let toldAt = 0;
  const { user, system } = process.cpuUsage();
  ui.info(`containers requested, ${ui.duration((user + system) / 1000)} of our own processor time so far`);
  try {
    await docker(context, UP, {
      onLine: (line) => {
        progress.feed(ui.printable(line));
        const text = progress.text(services);
        if (text === '' || text === told || performance.now() - toldAt < TELL_MS) return;
        told = text;
        toldAt = performance.now();
        context.tell(`starting containers: ${text}`);
      },
    });
    return progress;
  } catch (thrown) {
    if (!(await dockerAnswers())) {
      throw new DstackError('DOCKER_UNAVAILABLE', 'failed to start containers: docker stopped meanwhile', {
        path: dockerSocket(),
        cause: thrown,
      });
    }
    const statuses = await currentStatuses({ model, env: context.env, complaints: progress.complaints }).catch(
      () => [] as ServiceStatus[],
    );
    const own = statuses.filter(({ verdict }) => verdict === 'failed');
    const general = progress.complaints.get('');
    const stage = own[0]?.stage ?? general?.stage;
    const words = own.length > 0 ? failureText(own) : (general?.words ?? progress.lastWords);
    throw new DstackError(codeOf(stage, words), `failed to start containers: ${words}`, { cause: thrown });
  }
}

/** Throws when a service is not well; a health check that has not decided in time is only logged. */
function report(statuses: readonly ServiceStatus[]): void {
  for (const { service, verdict } of statuses)
    if (verdict === 'starting') ui.warn(`service ${service}: its health check has not decided yet`);
  const bad = statuses.filter(({ verdict }) => verdict === 'failed' || verdict === 'missing');
  const first = bad[0];
  if (first === undefined) return;
  throw new DstackError(
    codeOf(first.stage, first.words ?? ''),
    ui.printable(`${bad.length} of ${statuses.length} services failed: ${failureText(bad)}`),
    { field: first.service },
  );
}

function codeOf(stage: Stage | undefined, words: string): ErrorCode {
  if (/no space left on device/i.test(words)) return 'DISK_FULL';
  if (/port is already allocated|address already in use/i.test(words)) return 'PORT_TAKEN';
  if (stage === 'pull') return 'IMAGE_PULL_FAILED';
  if (stage === 'build') return 'IMAGE_BUILD_FAILED';
  if (stage === 'health') return 'SERVICE_UNHEALTHY';
  if (stage === 'exit') return 'SERVICE_EXITED';
  return 'COMPOSE_UP_FAILED';
}

function count(statuses: readonly ServiceStatus[]): string {
  const of = (...verdicts: string[]) => statuses.filter(({ verdict }) => verdicts.includes(verdict)).length;
  const failed = of('failed', 'missing');
  return `services ${of('ready', 'done')}/${statuses.length}${failed > 0 ? `, ${failed} failed` : ''}`;
}
