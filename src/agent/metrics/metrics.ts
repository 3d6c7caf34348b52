/** /metrics: the machine, the containers and the agent in the Prometheus text format. */
import { PATHS } from '../../config/paths.ts';
import { latestPhases } from '../boot-state.ts';
import type { Readiness } from '../readiness.ts';
import type { AgentState } from '../state.ts';
import { systemFigures } from '../system-info.ts';
import { readTimeline } from '../timeline.ts';
import { agentFamilies } from './agent.ts';
import { containerFamilies } from './containers.ts';
import { format } from './family.ts';
import { referenceFamilies } from './reference.ts';
import { systemFamilies } from './system.ts';

/** Everything that can be read now. A reading that fails is absent, never 0. */
export async function metricsText(
  state: AgentState,
  readiness: Readiness,
  timelinePath: string = PATHS.bootTimeline,
): Promise<{ contentType: string; text: string }> {
  const [system, containers, phases] = await Promise.all([
    systemFigures(state.dataDisks),
    state.containers.list().catch(() => undefined),
    readTimeline(timelinePath),
  ]);
  return format([
    ...(await agentFamilies(state, readiness, latestPhases(phases))),
    ...containerFamilies(containers),
    ...(await systemFamilies(system)),
    ...referenceFamilies(system),
  ]);
}
