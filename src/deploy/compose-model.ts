/** What docker compose makes of the compose file: services, images, health checks. Asked of docker itself, not guessed. */
import { DstackError } from '../errors.ts';
import { run } from '../sys/exec.ts';
import { COMPOSE_FILE, type ComposeService } from './compose-file.ts';
import type { Environment } from './scripts.ts';

export interface ComposeModel {
  readonly project: string;
  readonly services: readonly ComposeService[];
}

/** A compose file is text; what a hostile one unfolds to (anchors in anchors) must not take longer than this. */
const TIMEOUT_MS = 60_000;

/**
 * The model of the extracted compose file, services of all profiles included.
 * @throws COMPOSE_INVALID with docker's words
 */
export async function composeModel({ dir, env }: { dir: string; env: Environment }): Promise<ComposeModel> {
  const args = ['compose', '-f', COMPOSE_FILE, '--profile', '*', 'config', '--format', 'json'];
  let stdout: string;
  try {
    // the output holds the app's variables: it is neither logged nor kept
    ({ stdout } = await run('docker', args, {
      cwd: dir,
      env: Object.fromEntries(env),
      timeoutMs: TIMEOUT_MS,
      readOnly: true,
    }));
  } catch (thrown) {
    throw new DstackError('COMPOSE_INVALID', 'docker compose does not accept the compose file', {
      field: 'docker_compose_file',
      cause: thrown,
    });
  }
  try {
    return parseComposeModel(stdout);
  } catch {
    // no cause: its words could quote the document
    throw new DstackError('COMPOSE_INVALID', 'docker compose describes the compose file in an unknown way', {
      field: 'docker_compose_file',
    });
  }
}

/** Reads `docker compose config --format json`. Throws on anything else. */
export function parseComposeModel(text: string): ComposeModel {
  const { name, services } = JSON.parse(text) as { name?: unknown; services?: unknown };
  if (typeof name !== 'string' || typeof services !== 'object' || services === null) throw new Error('no project');
  return {
    project: name,
    services: Object.entries(services).map(([service, value]) => {
      const { image, build, profiles } = (value ?? {}) as { image?: unknown; build?: unknown; profiles?: unknown };
      return {
        name: service,
        image: typeof image === 'string' ? image : '',
        built: build !== undefined && build !== null,
        profiles: Array.isArray(profiles) ? profiles.map(String) : [],
      };
    }),
  };
}

/** Services that `up` starts: those without a profile, and those of a profile in COMPOSE_PROFILES. */
export function activeServices({ services }: ComposeModel, env: ReadonlyMap<string, string>): ComposeService[] {
  const wanted = (env.get('COMPOSE_PROFILES') ?? '').split(',').map((profile) => profile.trim());
  return services.filter(
    ({ profiles }) =>
      profiles.length === 0 || wanted.includes('*') || profiles.some((profile) => wanted.includes(profile)),
  );
}
