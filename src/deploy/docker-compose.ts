/** Runner `docker-compose`: the compose file from app-compose.json, started by docker's own compose (dstack boot order, app start). */
import { DstackError, errorChain } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import { run } from '../sys/exec.ts';
import { exists } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { COMPOSE_FILE, extractComposeFile } from './compose-file.ts';
import { dockerAnswers, dockerSocket } from './docker-api.ts';
import type { Runner, RunnerContext, ServiceStatus } from './runner.ts';

/** Pulling and building take as long as they take: the service manager has the limit, if any. */
const NO_LIMIT = 0;

const docker = (context: RunnerContext, args: readonly string[], options: { quiet?: boolean } = {}) =>
  run('docker', args, {
    cwd: context.dir,
    env: Object.fromEntries(context.env),
    timeout: NO_LIMIT,
    readOnly: options.quiet ?? false,
    ...(options.quiet ? {} : { onLine: (line: string) => ui.info(`docker: ${line}`) }),
  });

const compose = (context: RunnerContext, args: readonly string[], options: { quiet?: boolean } = {}) =>
  docker(context, ['compose', '-f', COMPOSE_FILE, ...args], options);

export const dockerCompose: Runner = {
  name: 'docker-compose',
  progress: 'starting containers',

  async check() {
    if (isDryRun() || (await dockerAnswers())) return;
    throw new DstackError('DOCKER_UNAVAILABLE', `docker does not answer on ${dockerSocket()}`, {
      path: dockerSocket(),
    });
  },

  async start(context) {
    await extractComposeFile(context.compose, context.dir);
    try {
      await compose(context, ['up', '--remove-orphans', '-d', '--build']);
    } catch (thrown) {
      throw new DstackError('COMPOSE_UP_FAILED', 'failed to start containers', { cause: thrown });
    }
  },

  async prune(context) {
    // images without a container and anonymous volumes without a container: nothing the started app uses
    for (const args of [
      ['image', 'prune', '-af'],
      ['volume', 'prune', '-f'],
    ]) {
      try {
        await docker(context, args);
      } catch (thrown) {
        ui.warn(`docker ${args[0]} prune failed: ${errorChain(thrown)}`);
      }
    }
  },

  async stop(context) {
    if (!(await exists(`${context.dir}/${COMPOSE_FILE}`))) return;
    await compose(context, ['stop']);
  },

  async status(context) {
    if (!(await exists(`${context.dir}/${COMPOSE_FILE}`))) return [];
    const { stdout } = await compose(context, ['ps', '-a', '--format', 'json'], { quiet: true });
    return parsePs(stdout);
  },
};

/** `docker compose ps --format json`: one object a line, or in older versions one array. */
export function parsePs(text: string): ServiceStatus[] {
  const trimmed = text.trim();
  if (trimmed === '') return [];
  const items: unknown[] = trimmed.startsWith('[')
    ? (JSON.parse(trimmed) as unknown[])
    : trimmed.split('\n').map((line) => JSON.parse(line) as unknown);
  return items.map((item) => {
    const { Service, Name, Image, State, Health, ExitCode } = item as Record<string, unknown>;
    return {
      service: String(Service ?? ''),
      container: String(Name ?? ''),
      image: String(Image ?? ''),
      state: String(State ?? ''),
      health: String(Health ?? ''),
      exitCode: Number(ExitCode ?? 0),
    };
  });
}
