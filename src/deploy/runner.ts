/** A runner starts and stops the app in one of the ways that app-compose.json can ask for. */
import type { AppCompose } from '../config/app-compose.ts';
import type { LooseImage } from './image-references.ts';
import type { Environment } from './scripts.ts';
import type { ServiceStatus } from './service-status.ts';

export interface RunnerContext {
  readonly compose: AppCompose;
  /** work directory, /dstack in a guest */
  readonly dir: string;
  /** everything the app is started with, including what the pre-launch script exported */
  readonly env: Environment;
  /** how long the start waits for health checks, in milliseconds; 0 = not at all */
  readonly waitMs: number;
  /** how long a script may take, in milliseconds; undefined = as long as it takes */
  readonly scriptTimeoutMs?: number | undefined;
  /** takes the password of a registry out of what programs say: they say what the registry says */
  readonly redact?: (text: string) => string;
  /** tells the host where a long step stands */
  readonly tell: (text: string) => void;
}

/** What would run, for `deploy start --plan`. */
export interface RunnerPlan {
  readonly services: readonly { readonly service: string; readonly image: string; readonly built: boolean }[];
  /** images that the measurement does not pin */
  readonly loose: readonly LooseImage[];
}

export interface Runner {
  /** `runner` of app-compose.json */
  readonly name: string;
  /** what the host is told before the start */
  readonly progress: string;
  /**
   * who tries the credentials of a registry: dockerd before the start, or only the pull. Absent: it pulls nothing
   */
  readonly logsIn?: 'dockerd' | 'pull';
  /** whether every image that the start needs is here, so that it goes on without a registry */
  hasImages?(context: RunnerContext): Promise<boolean>;
  /** what must be there before the start begins; an app that cannot be started is refused here */
  check(context: RunnerContext): Promise<void>;
  plan(context: RunnerContext): Promise<RunnerPlan>;
  start(context: RunnerContext): Promise<void>;
  /** removes what the app does not use; a failure is only logged */
  prune?(context: RunnerContext): Promise<void>;
  stop(context: RunnerContext): Promise<void>;
  status(context: RunnerContext): Promise<ServiceStatus[]>;
}
