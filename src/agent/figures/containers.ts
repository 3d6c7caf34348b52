/**
 * The containers as the page, /metrics and /readyz show them: docker's list with health, restarts and usage. Nobody waits
 * long for docker: the list and the details have time limits, and answers are shared for some seconds.
 */
import {
  type ContainerState,
  type ContainerSummary,
  type ContainerUsage,
  containerState,
  containerUsage,
  listContainers,
} from '../../deploy/deploy.ts';
import { withTimeout } from './with-timeout.ts';

export interface ContainerReport {
  readonly id: string;
  /** without docker's leading slash */
  readonly name: string;
  readonly image: string;
  /** docker's word: created, running, paused, restarting, exited, dead */
  readonly state: string;
  /** docker's sentence, for example `Up 3 minutes (healthy)` */
  readonly status: string;
  readonly details?: ContainerState | undefined;
  readonly usage?: ContainerUsage | undefined;
  /** processors used on average since the last look, or since the start: 1 is one processor */
  readonly cpus?: number | undefined;
}

/** how long a caller waits for the list, and then for the details */
const LIST_MS = 2000;
const DETAILS_MS = 1500;
/** docker's own limit for the details of all containers: what comes after the callers have left is there for the next ones */
const WORK_MS = 10_000;
const AGE_MS = 5000;
const FAILURE_AGE_MS = 1000;
/** details of more containers than this are not asked for */
const DETAILS_OF = 64;
const AT_ONCE = 8;
/** two readings closer than this say little about a rate */
const SHORTEST_MS = 2000;

interface Reading {
  readonly at: number;
  readonly cpuSeconds: number;
  readonly cpus?: number | undefined;
}

/** One look at docker, under way or done. */
interface Look {
  until: number;
  done: boolean;
  /** rejected when docker does not answer */
  readonly listed: Promise<readonly ContainerSummary[]>;
  /** with the details that came; fails only with the list */
  readonly complete: Promise<ContainerReport[]>;
}

/** Looks at docker for everybody who asks. */
export class Containers {
  #latest: Look | undefined;
  #readings = new Map<string, Reading>();

  /** The containers, without the details that are late. @throws DOCKER_UNAVAILABLE, also when docker takes too long */
  async list(): Promise<ContainerReport[]> {
    const look = this.#look();
    const summaries = await withTimeout(LIST_MS, 'DOCKER_UNAVAILABLE', 'docker', () => look.listed);
    return withTimeout(DETAILS_MS, 'DOCKER_UNAVAILABLE', 'docker', () => look.complete).catch(() =>
      summaries.map(bare),
    );
  }

  #look(): Look {
    const known = this.#latest;
    if (known !== undefined && (!known.done || Date.now() < known.until)) return known;
    const listed = listContainers();
    const complete = listed.then((summaries) => this.#details(summaries));
    const look: Look = { until: 0, done: false, listed, complete };
    const end = (age: number) => {
      look.done = true;
      look.until = Date.now() + age;
    };
    complete.then(
      () => end(AGE_MS),
      () => end(FAILURE_AGE_MS),
    );
    this.#latest = look;
    return look;
  }

  async #details(summaries: readonly ContainerSummary[]): Promise<ContainerReport[]> {
    const signal = AbortSignal.timeout(WORK_MS);
    const reports: ContainerReport[] = summaries.map(bare);
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let at = next++; at < Math.min(summaries.length, DETAILS_OF); at = next++) {
        const { Id, State } = summaries[at] as ContainerSummary;
        const [details, usage] = await Promise.all([
          containerState(Id, signal).catch(() => undefined),
          State === 'running' ? containerUsage(Id, signal).catch(() => undefined) : undefined,
        ]);
        reports[at] = { ...(reports[at] as ContainerReport), details, usage, cpus: this.#rate(Id, details, usage) };
      }
    };
    // a docker that ignores the end of a connection must not keep the look open
    await withTimeout(WORK_MS + 1000, 'DOCKER_UNAVAILABLE', 'docker', () =>
      Promise.all(Array.from({ length: AT_ONCE }, worker)),
    ).catch(() => {});
    const there = new Set(summaries.map(({ Id }) => Id));
    this.#readings = new Map([...this.#readings].filter(([id]) => there.has(id)));
    return reports;
  }

  #rate(id: string, details?: ContainerState, usage?: ContainerUsage): number | undefined {
    const cpuSeconds = usage?.cpuSeconds;
    if (cpuSeconds === undefined) return undefined;
    const now = Date.now();
    const before = this.#readings.get(id);
    if (before !== undefined && now - before.at < SHORTEST_MS) return before.cpus;
    // a container that was started again counts from zero again
    const continued = before !== undefined && before.cpuSeconds <= cpuSeconds;
    const since = continued ? before.at : details?.startedAt;
    const seconds = since === undefined ? 0 : (now - since) / 1000;
    const cpus = seconds <= 0 ? undefined : (cpuSeconds - (continued ? before.cpuSeconds : 0)) / seconds;
    this.#readings.set(id, { at: now, cpuSeconds, cpus });
    return cpus;
  }
}

const bare = ({ Id, Names, Image, State, Status }: ContainerSummary): ContainerReport => ({
  id: Id,
  name: (Names[0] ?? Id.slice(0, 12)).replace(/^\//, ''),
  image: Image,
  state: State,
  status: Status,
});
