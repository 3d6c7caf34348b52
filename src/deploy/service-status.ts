/** What has become of each service: one verdict, and docker's own words when it is not a good one. */
import type { ComposeService } from './compose-file.ts';
import type { Complaint, Stage } from './compose-progress.ts';
import type { ProjectContainer } from './docker-control.ts';

/**
 * ready = runs, and healthy if it has a check; done = ended with 0; starting = its health check has not decided yet;
 * failed = see stage and words; missing = has no container.
 */
export type ServiceVerdict = 'ready' | 'done' | 'starting' | 'failed' | 'missing';

/** One service as `deploy status` shows it. */
export interface ServiceStatus {
  readonly service: string;
  readonly container: string;
  readonly image: string;
  /** docker's word: running, exited, ...; empty without a container */
  readonly state: string;
  /** healthy, unhealthy, starting, or empty without a health check */
  readonly health: string;
  readonly exitCode: number;
  readonly restarts: number;
  readonly verdict: ServiceVerdict;
  /** where it failed */
  readonly stage?: Stage;
  /** docker's own words, or the last ones of the container */
  readonly words?: string;
}

type Judgement = Pick<ServiceStatus, 'verdict' | 'stage' | 'words'>;

/** Judges one container. @param output last lines of its log, wanted for one that ended badly */
export function containerVerdict(container: ProjectContainer, output = ''): Judgement {
  const { status, exitCode = 0, health, healthOutput, error, restarts = 0, outOfMemory } = container;
  const failed = (stage: Stage, words: string): Judgement => ({ verdict: 'failed', stage, words });
  const ended = () => {
    const how = outOfMemory ? 'was killed for using too much memory' : `ended with exit status ${exitCode}`;
    const again = restarts > 0 ? `, restarted ${restarts} times` : '';
    return `${how}${again}${output === '' ? '' : `: ${output}`}`;
  };
  if (status === 'running' && restarts > 0 && health === undefined) return failed('exit', ended());
  if (status === 'running') {
    if (health === 'unhealthy') return failed('health', healthOutput || 'the health check failed without a word');
    return { verdict: health === 'starting' ? 'starting' : 'ready' };
  }
  if (status === 'created') return error === '' ? { verdict: 'starting' } : failed('start', error);
  if (status === 'exited' && error !== '') return failed('start', error);
  if (status === 'exited' && exitCode === 0 && !outOfMemory) return { verdict: 'done' };
  if (status === 'paused') return { verdict: 'ready' };
  return failed('exit', ended());
}

const RANK: readonly ServiceVerdict[] = ['failed', 'missing', 'starting', 'done', 'ready'];

/**
 * One status for each service that should run, in the order of the compose file; of several containers the worst counts.
 * @param output last lines of a container's log, by container id
 * @param complaints what `docker compose up` complained about, by service or container name
 */
export function serviceStatuses(
  services: readonly ComposeService[],
  containers: readonly ProjectContainer[],
  output: ReadonlyMap<string, string> = new Map(),
  complaints: ReadonlyMap<string, Complaint> = new Map(),
): ServiceStatus[] {
  return services.map(({ name, image }) => {
    const own = containers
      .filter(({ service }) => service === name)
      .map((container) => ({ container, judgement: containerVerdict(container, output.get(container.id)) }))
      .toSorted((a, b) => RANK.indexOf(a.judgement.verdict) - RANK.indexOf(b.judgement.verdict))[0];
    const complaint = complaints.get(name) ?? (own && complaints.get(own.container.name));
    if (own === undefined) {
      const none = { service: name, container: '', image, state: '', health: '', exitCode: 0, restarts: 0 };
      return complaint === undefined
        ? { ...none, verdict: 'missing' }
        : { ...none, verdict: 'failed', stage: complaint.stage, words: complaint.words };
    }
    const { container, judgement } = own;
    const { name: containerName, status: state, health = '', exitCode = 0, restarts = 0 } = container;
    const shown = container.image || image;
    const status = { service: name, container: containerName, image: shown, state, health, exitCode, restarts };
    // a container that exists tells more than the line of progress did
    if (judgement.verdict === 'starting' && state === 'created' && complaint !== undefined)
      return { ...status, verdict: 'failed', stage: complaint.stage, words: complaint.words };
    return { ...status, ...judgement };
  });
}

/** One line about all services that failed: `web: start: port is already allocated; db: missing`. */
export function failureText(statuses: readonly ServiceStatus[]): string {
  return statuses
    .filter(({ verdict }) => verdict === 'failed' || verdict === 'missing')
    .map(({ service, stage, words }) => `${service}: ${stage === undefined ? 'was not started' : `${stage}: ${words}`}`)
    .join('; ');
}
