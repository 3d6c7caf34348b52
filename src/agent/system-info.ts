/** The machine in figures: SysInfo and /metrics. A figure that cannot be read is left out by the reader, never made up. */
import { readFile, statfs } from 'node:fs/promises';
import { cpus, loadavg, release, uptime } from 'node:os';
import type { Message } from '../codec/prpc-messages.ts';
import { mounts } from '../sys/mounts.ts';
import * as ui from '../ui.ts';

/** `Key: 123 kB` lines of /proc/meminfo as bytes (proc(5)). */
export function parseMeminfo(text: string): Map<string, number> {
  const out = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, key, value, unit] = /^(\w+(?:\(\w+\))?):\s+(\d+)(?: (kB))?$/.exec(line) ?? [];
    if (key !== undefined) out.set(key, Number(value) * (unit === 'kB' ? 1024 : 1));
  }
  return out;
}

/** `KEY=value` lines of os-release(5), quotes removed. */
async function osRelease(): Promise<Map<string, string>> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  return new Map(
    text.split('\n').flatMap((line): [string, string][] => {
      const at = line.indexOf('=');
      return at <= 0
        ? []
        : [
            [
              line.slice(0, at).trim(),
              line
                .slice(at + 1)
                .trim()
                .replace(/^(["'])(.*)\1$/, '$2'),
            ],
          ];
    }),
  );
}

/** SysInfo; memory in bytes, load averages times 100. @param dataDisks mount points to report */
export async function systemInformation(dataDisks: readonly string[]): Promise<Message<'SystemInfo'>> {
  const memory = parseMeminfo(await readFile('/proc/meminfo', 'utf8'));
  const of = (key: string): number => memory.get(key) ?? 0;
  const release_ = await osRelease();
  const processors = cpus();
  const [one = 0, five = 0, fifteen = 0] = loadavg().map((load) => Math.trunc(load * 100));
  return {
    os_name: release_.get('NAME') ?? '',
    os_version: release_.get('VERSION_ID') ?? '',
    kernel_version: release(),
    cpu_model: processors[0] ? `${processors[0].model} @${processors[0].speed} MHz` : '',
    num_cpus: processors.length,
    total_memory: of('MemTotal'),
    available_memory: of('MemAvailable'),
    used_memory: of('MemTotal') - of('MemAvailable'),
    free_memory: of('MemFree'),
    total_swap: of('SwapTotal'),
    used_swap: of('SwapTotal') - of('SwapFree'),
    free_swap: of('SwapFree'),
    uptime: Math.trunc(uptime()),
    loadavg_one: one,
    loadavg_five: five,
    loadavg_fifteen: fifteen,
    disks: await disks(dataDisks),
  };
}

async function disks(mountPoints: readonly string[]): Promise<Message<'DiskInfo'>[]> {
  const table = await mounts();
  const out: Message<'DiskInfo'>[] = [];
  for (const mountPoint of [...new Set(mountPoints)].sort()) {
    const entry = table.findLast((mount) => mount.mountPoint === mountPoint);
    if (entry === undefined) continue;
    try {
      const { bsize, blocks, bavail } = await statfs(mountPoint);
      out.push({ name: entry.source, mount_point: mountPoint, total_size: bsize * blocks, free_size: bsize * bavail });
    } catch (thrown) {
      ui.warn(`the size of ${mountPoint} cannot be read: ${String(thrown)}`);
    }
  }
  return out;
}
