/** A runner starts and stops the app in one of the ways that app-compose.json can ask for. */
import type { AppCompose } from '../config/app-compose.ts';
import { DstackError } from '../errors.ts';
import type { Environment } from './scripts.ts';

export interface RunnerContext {
  readonly compose: AppCompose;
  /** work directory, /dstack in a guest */
  readonly dir: string;
  /** everything the app is started with, including what the pre-launch script exported */
  readonly env: Environment;
}

/** One service as `deploy status` shows it. */
export interface ServiceStatus {
  readonly service: string;
  readonly container: string;
  readonly image: string;
  /** docker's word: running, exited, ... */
  readonly state: string;
  /** healthy, unhealthy, starting, or empty without a health check */
  readonly health: string;
  readonly exitCode: number;
}

export interface Runner {
  /** `runner` of app-compose.json */
  readonly name: string;
  /** what the host is told before the start */
  readonly progress: string;
  /** what must be there before the start begins */
  check(context: RunnerContext): Promise<void>;
  start(context: RunnerContext): Promise<void>;
  /** removes what no container of the app uses; a failure is only logged */
  prune?(context: RunnerContext): Promise<void>;
  stop(context: RunnerContext): Promise<void>;
  status(context: RunnerContext): Promise<ServiceStatus[]>;
}

/** The runner of an app. @throws RUNNER_UNSUPPORTED */
export async function runnerOf({ runner }: Pick<AppCompose, 'runner'>): Promise<Runner> {
  if (runner === 'docker-compose') return (await import('./docker-compose.ts')).dockerCompose;
  if (runner === 'bash') return (await import('./bash.ts')).bash;
  const known = runner === 'nerdctl-compose';
  throw new DstackError('RUNNER_UNSUPPORTED', `runner ${runner} is ${known ? 'not supported yet' : 'unknown'}`, {
    field: 'runner',
    value: runner,
  });
}
