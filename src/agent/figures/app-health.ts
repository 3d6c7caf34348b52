/**
 * Whether the app can serve, for the gateway's choice of instances (`requirements.health_check`). A verdict is made every
 * five seconds, and everybody is answered from it: many gateways ask the same guest, and anybody may. Not to know is not
 * to be healthy. Source: dstack guest API v1, health of an app.
 */
import { realpath } from 'node:fs/promises';
import type { AppCompose } from '../../config/app-compose.ts';
import { composeProject, type ProjectContainer, projectContainers } from '../../deploy/deploy.ts';
import { DstackError, errorChain } from '../../errors.ts';
import { readLimited, utf8 } from '../../sys/files.ts';
import * as ui from '../../ui.ts';
import { withTimeout } from './with-timeout.ts';

/** Why the app is not healthy: a container, or in brackets what was looked at instead. */
export interface HealthComplaint {
  readonly name: string;
  readonly status: string;
}

export interface HealthVerdict {
  readonly healthy: boolean;
  readonly unhealthy: readonly HealthComplaint[];
  /** why nothing could be seen, several times in a row; else empty */
  readonly error: string;
}

const INTERVAL_MS = 5000;
const LOOK_TIMEOUT_MS = 10_000;
/** looks in a row that may see nothing: a container that is being replaced looks like that */
const TOLERATED_FAILURES = 3;
const STATUS_LIMIT = 4096;
/** seconds that an entry of the status file stays true; one from so far ahead was not written in seconds */
const STATUS_AGE_S = 60;

const FILE = '<health_status_file>';
const HEALTHY: HealthVerdict = { healthy: true, unhealthy: [], error: '' };
const not = (name: string, status: string): HealthVerdict => ({
  healthy: false,
  unhealthy: [{ name, status }],
  error: '',
});

/** Judges what `health_status_file` says: the word, and the Unix seconds at which it was written. Never quotes it. */
export function judgeStatusFile(text: string, nowSeconds: number): HealthVerdict {
  const [word = '', written = ''] = text.split('\n').map((line) => line.trim());
  if (!/^\d{1,15}$/.test(written)) return not(FILE, 'line 2 is not a Unix time in seconds');
  const age = nowSeconds - Number(written);
  if (age > STATUS_AGE_S) return not(FILE, `it was written ${Math.floor(age)} s ago, more than ${STATUS_AGE_S} s`);
  if (age < -STATUS_AGE_S) return not(FILE, 'its time lies in the future: line 2 must be Unix seconds');
  if (/^healthy$/i.test(word)) return HEALTHY;
  return not(FILE, /^unhealthy$/i.test(word) ? 'the app reports unhealthy' : 'line 1 is neither healthy nor unhealthy');
}

/** Reads the status file; links are followed, anything but a regular file of 4 KiB is refused without blocking. */
async function lookAtFile(path: string): Promise<HealthVerdict> {
  try {
    return judgeStatusFile(utf8(await readLimited(await realpath(path), STATUS_LIMIT, path), path), Date.now() / 1000);
  } catch (thrown) {
    if (thrown instanceof DstackError) return not(FILE, thrown.code.toLowerCase().replaceAll('_', ' '));
    return not(FILE, (thrown as NodeJS.ErrnoException).code === 'ENOENT' ? 'it does not exist' : 'it cannot be read');
  }
}

/** Judges the containers of the app's compose project: those that declare a health check must run and pass it. */
export function judgeContainers(containers: readonly ProjectContainer[]): HealthVerdict {
  if (containers.length === 0) return not('<compose>', 'there is no container yet');
  const checked = containers.filter(({ health }) => health !== undefined);
  if (checked.length === 0) return not('<compose>', 'not one container has a health check');
  const unhealthy = checked
    .filter(({ health, status }) => health !== 'healthy' || status !== 'running')
    .map(({ name, health, status }) => ({ name, status: status === 'running' ? (health as string) : status }));
  return { healthy: unhealthy.length === 0, unhealthy, error: '' };
}

/** What decides for this app; undefined: it did not ask for health checks. */
function lookFor(compose: AppCompose): (() => Promise<HealthVerdict>) | undefined {
  const { requirements, runner, dockerComposeFile = '' } = compose;
  if (requirements?.healthCheck !== true) return undefined;
  const { healthStatusFile: file } = requirements;
  if (file !== undefined) return () => lookAtFile(file);
  if (runner !== 'docker-compose')
    return async () => not(`<${runner}>`, `runner ${runner} needs requirements.health_status_file`);
  return async () => {
    const { project } = await composeProject(dockerComposeFile, 'dstack', 'docker_compose_file');
    return judgeContainers(await projectContainers(project));
  };
}

/** The verdict of this guest, kept up to date between `start` and its end. */
export class AppHealth {
  readonly #look: (() => Promise<HealthVerdict>) | undefined;
  #verdict: HealthVerdict;
  #failures = 0;

  constructor(compose: AppCompose) {
    this.#look = lookFor(compose);
    this.#verdict = this.#look === undefined ? HEALTHY : not('<health>', 'nobody has looked yet');
  }

  /** Whether the app asked for health checks. */
  get watched(): boolean {
    return this.#look !== undefined;
  }

  verdict(): HealthVerdict {
    return this.#verdict;
  }

  /** Looks once. */
  async refresh(): Promise<void> {
    if (this.#look === undefined) return;
    try {
      const verdict = await withTimeout(LOOK_TIMEOUT_MS, 'DOCKER_UNAVAILABLE', 'docker', this.#look);
      this.#failures = 0;
      this.#tell(verdict);
    } catch (thrown) {
      // the last verdict holds for a while, except before the first one
      if (++this.#failures >= TOLERATED_FAILURES)
        this.#tell({ healthy: false, unhealthy: [], error: errorChain(thrown) });
    }
  }

  #tell(verdict: HealthVerdict): void {
    const [before, after] = [describe(this.#verdict), describe(verdict)];
    this.#verdict = verdict;
    if (before !== after) ui.info(`app health: ${after}`);
  }

  /** Looks every five seconds. @returns ends it */
  start(): () => void {
    if (this.#look === undefined) return () => {};
    let ended = false;
    let timer: NodeJS.Timeout | undefined;
    const round = async (): Promise<void> => {
      await this.refresh();
      if (!ended) timer = setTimeout(round, INTERVAL_MS).unref();
    };
    void round();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }
}

/** The verdict in one line. */
export function describe({ healthy, unhealthy, error }: HealthVerdict): string {
  if (healthy) return 'healthy';
  if (error !== '') return `not healthy: ${error}`;
  return `not healthy: ${unhealthy.map(({ name, status }) => `${name}: ${status}`).join(', ')}`;
}
