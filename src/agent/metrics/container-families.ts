/** Metrics of the containers, by their name. */
import type { ContainerReport } from '../figures/containers.ts';
import { counter, type Family, gauge, type Sample } from './family.ts';

/** @param containers undefined when docker does not answer */
export function containerFamilies(containers: readonly ContainerReport[] | undefined): Family[] {
  const all = containers ?? [];
  const each = (value: (container: ContainerReport) => number | undefined): Sample[] =>
    all.map((container) => [value(container), { name: container.name }]);
  const healthy = ({ details }: ContainerReport) =>
    details?.health === undefined ? undefined : Number(details.health === 'healthy');
  return [
    gauge('dstack_docker_up', '1 when docker answers', [Number(containers !== undefined)]),
    gauge(
      'dstack_container_info',
      'A container, its image and its state',
      ...all.map(({ id, name, image, state }): Sample => [1, { name, id: id.slice(0, 12), image, state }]),
    ),
    gauge('dstack_container_running', '1 when the container runs', ...each(({ state }) => Number(state === 'running'))),
    gauge('dstack_container_healthy', '1 when the health check of the container passes', ...each(healthy)),
    counter('dstack_container_restarts_total', 'Restarts by docker', ...each(({ details }) => details?.restarts)),
    gauge(
      'dstack_container_start_time_seconds',
      'Unix time of the last start',
      ...each(({ details }) => (details?.startedAt === undefined ? undefined : details.startedAt / 1000)),
    ),
    counter('dstack_container_cpu_seconds_total', 'Processor time', ...each(({ usage }) => usage?.cpuSeconds)),
    gauge(
      'dstack_container_memory_bytes',
      'Memory without droppable file cache',
      ...each(({ usage }) => usage?.memory),
    ),
    gauge('dstack_container_memory_limit_bytes', 'Memory limit', ...each(({ usage }) => usage?.memoryLimit)),
    counter(
      'dstack_container_network_receive_bytes_total',
      'Bytes received',
      ...each(({ usage }) => usage?.receivedBytes),
    ),
    counter('dstack_container_network_transmit_bytes_total', 'Bytes sent', ...each(({ usage }) => usage?.sentBytes)),
  ];
}
