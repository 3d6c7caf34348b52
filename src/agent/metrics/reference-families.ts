/**
 * The names under which the reference's agent shows its figures (dstack guest agent services, metrics), so that existing
 * scrapers keep working. They are gauges in whole numbers; new dashboards should use the `dstack_` names.
 */
import type { Disk, SystemFigures } from '../figures/system-info.ts';
import { type Family, gauge, infoMetric } from './family.ts';

const hundredths = (load: number): number => Math.trunc(load * 100);
const minus = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a - b;

export function referenceFamilies(system: SystemFigures): Family[] {
  const { memory, load, disks } = system;
  const disk = (name: string, help: string, value: (disk: Disk) => number | undefined) =>
    gauge(
      name,
      help,
      ...disks.map((each) => [value(each), { name: each.name, mount_point: each.mountPoint }] as const),
    );
  return [
    infoMetric('system_os_name', 'Name of the operating system', { os_name: system.osName }),
    infoMetric('system_os_version', 'Version of the operating system', { os_version: system.osVersion }),
    infoMetric('system_kernel_version', 'Version of the kernel', { kernel_version: system.kernel }),
    infoMetric('system_cpu_model', 'Model of the processor', { cpu_model: system.cpuModel }),
    gauge('system_num_cpus', 'Number of processors', [system.cpus || undefined]),
    gauge('system_memory_total', 'Memory in bytes', [memory.total]),
    gauge('system_memory_available', 'Memory that can be given to programs, in bytes', [memory.available]),
    gauge('system_memory_used', 'Memory in use, in bytes', [minus(memory.total, memory.available)]),
    gauge('system_memory_free', 'Memory without any use, in bytes', [memory.free]),
    gauge('system_swap_total', 'Swap space in bytes', [memory.swapTotal]),
    gauge('system_swap_used', 'Swap space in use, in bytes', [minus(memory.swapTotal, memory.swapFree)]),
    gauge('system_swap_free', 'Free swap space in bytes', [memory.swapFree]),
    gauge('system_uptime', 'Seconds since the kernel started', [Math.trunc(system.uptime)]),
    gauge('system_load_average_1m', 'Load of the last minute, times 100', [hundredths(load[0])]),
    gauge('system_load_average_5m', 'Load of the last five minutes, times 100', [hundredths(load[1])]),
    gauge('system_load_average_15m', 'Load of the last fifteen minutes, times 100', [hundredths(load[2])]),
    disk('disk_total_size', 'Size of the disk in bytes', ({ size }) => size),
    disk('disk_free_size', 'Free space of the disk in bytes', ({ available }) => available),
    disk('disk_used_size', 'Used space of the disk in bytes', ({ size, available }) => size - available),
    disk('disk_usage_percentage', 'Used share of the disk in percent', ({ size, available }) =>
      size === 0 ? undefined : Math.round(((size - available) / size) * 10_000) / 100,
    ),
  ];
}
