/** What /readyz tells: whether the app can be served, every listener, the boot, and the containers. */
import { PATHS } from '../../config/paths.ts';
import { errorChain } from '../../errors.ts';
import type { ListenerStatus } from '../listen/listener.ts';
import type { AgentState } from '../state.ts';
import { readTimeline } from './boot-phases.ts';
import { bootState, latestPhases } from './boot-state.ts';

export interface Readiness {
  /** every listener that the app needs answers: it gets its keys and quotes */
  readonly ready: boolean;
  /** `tdx`, or `canned` for a simulator */
  readonly evidence: 'tdx' | 'canned';
  readonly uptimeSeconds: number;
  readonly listeners: readonly ListenerStatus[];
}

/**
 * The whole document of /readyz. The words of a failure may come out of the app (docker's output, a script), so they are
 * shown only where the app made its logs public; everybody else sees which phase failed.
 */
export async function readinessReport(
  state: AgentState,
  readiness: Readiness,
  timelinePath: string = PATHS.bootTimeline,
): Promise<Record<string, unknown>> {
  const phases = latestPhases(await readTimeline(timelinePath));
  const boot = bootState(phases);
  const { failure } = boot;
  return {
    ...readiness,
    boot: {
      state: boot.state,
      phases: phases.map(({ sequence, phase, start, durationMs, outcome }) => ({
        sequence,
        phase,
        start: new Date(start).toISOString(),
        durationMs,
        outcome,
      })),
    },
    // of the start of the app; a failure before it ends in a reboot
    composeError:
      failure === undefined
        ? null
        : { phase: failure.phase, error: state.compose.publicLogs ? (failure.error ?? '') : 'see the journal' },
    // null: the app did not ask for health checks
    health: state.health.watched ? state.health.verdict() : null,
    // an app that is a script has none
    containers: state.compose.runner === 'bash' ? null : await containerReport(state),
  };
}

async function containerReport(state: AgentState): Promise<Record<string, unknown>> {
  try {
    const list = await state.containers.list();
    return {
      total: list.length,
      running: list.filter((container) => container.state === 'running').length,
      unhealthy: list.filter(({ details }) => details?.health === 'unhealthy').length,
      list: list.map(({ name, image, state: word, status, details }) => ({
        name,
        image,
        state: word,
        status,
        health: details?.health ?? null,
        restarts: details?.restarts ?? null,
      })),
    };
  } catch (thrown) {
    return { error: errorChain(thrown) };
  }
}
