/** Metrics of the machine. */

import { interfaceCounters } from '../figures/network-info.ts';
import { cpuTimes, type SystemFigures } from '../figures/system-info.ts';
import { counter, type Family, gauge, infoMetric } from './family.ts';

export async function systemFamilies(system: SystemFigures): Promise<Family[]> {
  const [times, interfaces] = await Promise.all([cpuTimes(), interfaceCounters()]);
  const { memory, load, disks } = system;
  const of = (key: 'rx_bytes' | 'rx_errors' | 'tx_bytes' | 'tx_errors') =>
    [...interfaces].map(([device, counts]) => [counts[key], { device }] as const);
  const disk = (value: 'size' | 'available') =>
    disks.map((each) => [each[value], { device: each.name, mountpoint: each.mountPoint }] as const);
  return [
    infoMetric('dstack_os_info', 'Operating system', {
      name: system.osName,
      version: system.osVersion,
      kernel: system.kernel,
    }),
    gauge('dstack_cpus', 'Number of processors', [system.cpus || undefined]),
    counter(
      'dstack_cpu_seconds_total',
      'Time of all processors by mode',
      ...[...times].map(([mode, seconds]) => [seconds, { mode }] as const),
    ),
    gauge('dstack_memory_size_bytes', 'Memory of the machine', [memory.total]),
    gauge('dstack_memory_available_bytes', 'Memory that can be given to programs', [memory.available]),
    gauge('dstack_memory_free_bytes', 'Memory without any use', [memory.free]),
    gauge('dstack_swap_size_bytes', 'Swap space', [memory.swapTotal]),
    gauge('dstack_swap_free_bytes', 'Swap space without use', [memory.swapFree]),
    gauge('dstack_load1', 'Load average of one minute', [load[0]]),
    gauge('dstack_load5', 'Load average of five minutes', [load[1]]),
    gauge('dstack_load15', 'Load average of fifteen minutes', [load[2]]),
    gauge('dstack_uptime_seconds', 'Time since the kernel started', [system.uptime]),
    gauge('dstack_filesystem_size_bytes', 'Size of a data file system', ...disk('size')),
    gauge('dstack_filesystem_avail_bytes', 'Space that programs can still write', ...disk('available')),
    counter('dstack_network_receive_bytes_total', 'Bytes received', ...of('rx_bytes')),
    counter('dstack_network_receive_errors_total', 'Errors while receiving', ...of('rx_errors')),
    counter('dstack_network_transmit_bytes_total', 'Bytes sent', ...of('tx_bytes')),
    counter('dstack_network_transmit_errors_total', 'Errors while sending', ...of('tx_errors')),
  ];
}
