/** /metrics: the figures of SysInfo in the Prometheus text format (dstack guest agent services, metrics). */
import type { AgentState } from './state.ts';
import { systemInformation } from './system-info.ts';

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** Label values: backslash, newline and quote are escaped (Prometheus text format). */
export const escapeLabel = (text: string): string =>
  text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');

function block(name: string, help: string, samples: readonly Sample[]): string {
  const lines = samples.map(([labels, value]) => {
    const inside = Object.entries(labels).map(([key, text]) => `${key}="${escapeLabel(text)}"`);
    return `${name}${inside.length > 0 ? `{${inside.join(',')}}` : ''} ${value}`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${lines.join('\n')}\n`;
}

export async function metricsText(state: AgentState): Promise<string> {
  const info = await systemInformation(state.dataDisks);
  const one = (name: string, help: string, value: number) => block(name, help, [[{}, value]]);
  const disk = (name: string, help: string, value: (total: number, free: number) => number) =>
    block(
      name,
      help,
      info.disks.map((d) => [{ name: d.name, mount_point: d.mount_point }, value(d.total_size, d.free_size)]),
    );
  return [
    block('system_os_name', 'Name of the operating system', [[{ os_name: info.os_name }, 1]]),
    block('system_os_version', 'Version of the operating system', [[{ os_version: info.os_version }, 1]]),
    block('system_kernel_version', 'Version of the kernel', [[{ kernel_version: info.kernel_version }, 1]]),
    block('system_cpu_model', 'Model of the processor', [[{ cpu_model: info.cpu_model }, 1]]),
    one('system_num_cpus', 'Number of processors', info.num_cpus),
    one('system_memory_total', 'Memory in bytes', info.total_memory),
    one('system_memory_available', 'Memory that can be given to programs, in bytes', info.available_memory),
    one('system_memory_used', 'Memory in use, in bytes', info.used_memory),
    one('system_memory_free', 'Memory without any use, in bytes', info.free_memory),
    one('system_swap_total', 'Swap space in bytes', info.total_swap),
    one('system_swap_used', 'Swap space in use, in bytes', info.used_swap),
    one('system_swap_free', 'Free swap space in bytes', info.free_swap),
    one('system_uptime', 'Seconds since the kernel started', info.uptime),
    one('system_load_average_1m', 'Load of the last minute, times 100', info.loadavg_one),
    one('system_load_average_5m', 'Load of the last five minutes, times 100', info.loadavg_five),
    one('system_load_average_15m', 'Load of the last fifteen minutes, times 100', info.loadavg_fifteen),
    ...(info.disks.length === 0
      ? []
      : [
          disk('disk_total_size', 'Size of the disk in bytes', (total) => total),
          disk('disk_free_size', 'Free space of the disk in bytes', (_, free) => free),
          disk('disk_used_size', 'Used space of the disk in bytes', (total, free) => total - free),
          disk('disk_usage_percentage', 'Used share of the disk in percent', (total, free) =>
            total === 0 ? 0 : Math.round(((total - free) / total) * 10_000) / 100,
          ),
        ]),
  ].join('');
}
