/** Waits until docker has decided about every service: by docker's events, not by asking again and again. */
import { activeServices, type ComposeModel } from './compose-model.ts';
import type { Complaint } from './compose-progress.ts';
import { lastLines, type ProjectContainer, projectContainers, watchProject } from './docker-control.ts';
import type { Environment } from './scripts.ts';
import { containerVerdict, type ServiceStatus, serviceStatuses } from './service-status.ts';

export interface ReadinessOptions {
  readonly model: ComposeModel;
  readonly env: Environment;
  /** give up waiting for health checks after this many milliseconds */
  readonly timeoutMs: number;
  /** a service without a health check must have run for so long, or a crash at the start is taken for a start */
  readonly settleMs?: number;
  readonly complaints?: ReadonlyMap<string, Complaint>;
  /** called when the picture changed */
  readonly onChange?: (statuses: readonly ServiceStatus[]) => void;
  readonly socketPath?: string;
}

const SETTLE_MS = 2000;
const LOG_LINES = 5;

/** The services of the app as they are now. @throws DOCKER_UNAVAILABLE */
export async function currentStatuses(
  options: Pick<ReadinessOptions, 'model' | 'env' | 'complaints' | 'socketPath'>,
): Promise<ServiceStatus[]> {
  return (await look(options)).statuses;
}

async function look({
  model,
  env,
  complaints,
  socketPath,
}: Pick<ReadinessOptions, 'model' | 'env' | 'complaints' | 'socketPath'>) {
  const containers = await projectContainers(model.project, socketPath);
  const ended = containers.filter((container) => containerVerdict(container).stage === 'exit');
  const output = new Map(
    await Promise.all(
      ended.map(async (container) => [container.id, await lastLines(container, LOG_LINES, socketPath)] as const),
    ),
  );
  return { containers, statuses: serviceStatuses(activeServices(model, env), containers, output, complaints) };
}

/**
 * Waits until every service is ready, done or failed, or the limit is over.
 * @returns the last picture; services still `starting` in it had not decided in time
 * @throws DOCKER_UNAVAILABLE
 */
export async function waitForServices(options: ReadinessOptions): Promise<ServiceStatus[]> {
  const { model, timeoutMs, settleMs = SETTLE_MS, onChange, socketPath } = options;
  const deadline = performance.now() + timeoutMs;
  const over = new AbortController();
  let wake: () => void = () => {};
  let pending = false;
  const changed = () => {
    pending = true;
    wake();
  };
  try {
    // listening begins before the first look, so that nothing happens unseen in between
    const { ended } = await watchProject(model.project, changed, over.signal, socketPath);
    void ended.then(changed);
    let told = '';
    for (;;) {
      pending = false;
      const { containers, statuses } = await look(options);
      const picture = JSON.stringify(statuses);
      if (picture !== told) onChange?.(statuses);
      told = picture;
      const young = settling(containers, settleMs);
      const waiting = statuses.some(({ verdict }) => verdict === 'starting');
      const left = deadline - performance.now();
      if ((!waiting && young === 0) || left <= 0) return statuses;
      await new Promise<void>((resolve) => {
        // without events (an old docker, a stream that ended) a look a second is enough
        const timer = setTimeout(resolve, Math.max(1, Math.min(left, young || 1000, 1000)));
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
        if (pending) wake();
      });
      wake = () => {};
    }
  } finally {
    over.abort();
  }
}

/** Milliseconds until the youngest container without a health check counts as running; 0 = all do. */
function settling(containers: readonly ProjectContainer[], settleMs: number): number {
  const now = Date.now();
  const left = containers
    .filter(({ status, health }) => status === 'running' && health === undefined)
    .flatMap(({ startedAt }) => (startedAt === undefined ? [] : [settleMs - (now - startedAt)]));
  // a clock that was stepped meanwhile must not make this long
  return Math.min(settleMs, Math.max(0, ...left));
}
