/** Metrics of the agent itself: listeners, calls, evidence, its process, and the boot it follows. */
import { readdir } from 'node:fs/promises';
import { REVISION, VERSION } from '../../version.ts';
import type { TimelinePhase } from '../figures/boot-phases.ts';
import type { Readiness } from '../figures/readyz.ts';
import type { AgentState } from '../state.ts';
import { counter, type Family, gauge, histogram, infoMetric, type Sample } from './family.ts';

export async function agentFamilies(
  state: AgentState,
  readiness: Readiness,
  phases: readonly TimelinePhase[],
): Promise<Family[]> {
  const listener = (value: (status: Readiness['listeners'][number]) => number | undefined): Sample[] =>
    readiness.listeners.map((status) => [value(status), { listener: status.name }]);
  const { user, system } = process.cpuUsage();
  return [
    infoMetric('dstack_agent_info', 'This agent', {
      version: VERSION,
      revision: REVISION,
      evidence: state.backend.kind,
    }),
    infoMetric('dstack_app_info', 'The app that this machine was measured for', {
      name: state.compose.name,
      compose_hash: Buffer.from(state.compose.composeHash).toString('hex'),
      runner: state.compose.runner,
    }),
    gauge('dstack_agent_ready', '1 when the app can be served', [Number(readiness.ready)]),
    gauge('dstack_app_healthy', '1 when the app is healthy, for an app that asks for health checks', [
      state.health.watched ? Number(state.health.verdict().healthy) : undefined,
    ]),
    gauge('dstack_agent_uptime_seconds', 'Time since the agent started', [readiness.uptimeSeconds]),
    counter('dstack_agent_cpu_seconds_total', 'Processor time of the agent', [(user + system) / 1e6]),
    gauge('dstack_agent_resident_memory_bytes', 'Memory of the agent', [process.memoryUsage.rss()]),
    gauge('dstack_agent_open_fds', 'Open file descriptors of the agent', [await openDescriptors()]),
    gauge(
      'dstack_agent_listener_up',
      '1 when the listener listens',
      ...listener(({ state: word }) => Number(word === 'listening')),
    ),
    counter('dstack_agent_listener_restarts_total', 'Restarts of a listener', ...listener(({ restarts }) => restarts)),
    gauge(
      'dstack_agent_connections',
      'Open connections of a listener',
      ...listener(({ connections }) => connections?.open),
    ),
    counter(
      'dstack_agent_connections_accepted_total',
      'Connections that a listener took',
      ...listener(({ connections }) => connections?.accepted),
    ),
    counter(
      'dstack_agent_connections_shed_total',
      'Connections refused or closed because there were too many',
      ...listener(({ connections }) => connections?.shed),
    ),
    counter(
      'dstack_agent_busy_total',
      'Requests that found too many others, or no memory for their body',
      ...listener(({ connections }) => connections?.busy),
    ),
    histogram(
      'dstack_rpc_duration_seconds',
      'RPC calls by service, method and outcome: ok or an error code',
      ['service', 'method', 'outcome'],
      state.stats.rpc,
    ),
    histogram(
      'dstack_evidence_duration_seconds',
      'Work of the quoting device by operation (quote, attestation, attest, identity, emit_event)',
      ['operation', 'outcome'],
      state.stats.evidence,
    ),
    gauge(
      'dstack_boot_phase_duration_seconds',
      'Phases of this boot that ran',
      ...phases
        .filter(({ outcome }) => outcome !== 'skipped')
        .map(({ sequence, phase, durationMs, outcome }): Sample => [durationMs / 1000, { sequence, phase, outcome }]),
    ),
  ];
}

async function openDescriptors(): Promise<number | undefined> {
  try {
    return (await readdir('/proc/self/fd')).length - 1; // the folder itself is open while it is read
  } catch {
    return undefined;
  }
}
