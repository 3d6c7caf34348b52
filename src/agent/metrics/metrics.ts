/** /metrics: the machine, the containers and the agent in the Prometheus text format. */
import { PATHS } from '../../config/paths.ts';
import { readTimeline } from '../figures/boot-phases.ts';
import { latestPhases } from '../figures/boot-state.ts';
import { certificateEnds } from '../figures/certificates.ts';
import type { Readiness } from '../figures/readyz.ts';
import { systemFigures } from '../figures/system-info.ts';
import type { AgentState } from '../state.ts';
import { agentFamilies } from './agent-families.ts';
import { containerFamilies } from './container-families.ts';
import { format } from './family.ts';
import { referenceFamilies } from './reference-families.ts';
import { systemFamilies } from './system-families.ts';
import { wayInFamilies } from './way-in-families.ts';

/** Everything that can be read now. A reading that fails is absent, never 0. */
export async function metricsText(
  state: AgentState,
  readiness: Readiness,
  timelinePath: string = PATHS.bootTimeline,
): Promise<{ contentType: string; text: string }> {
  const [system, containers, phases, gateway] = await Promise.all([
    systemFigures(state.dataDisks),
    state.containers.list().catch(() => undefined),
    readTimeline(timelinePath),
    state.gateway.read(),
  ]);
  return format([
    ...(await agentFamilies(state, readiness, latestPhases(phases))),
    ...wayInFamilies(state, gateway, certificateEnds(state, gateway?.record?.certNotAfter)),
    ...containerFamilies(containers),
    ...(await systemFamilies(system)),
    ...referenceFamilies(system),
  ]);
}
