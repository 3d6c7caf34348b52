/**
 * The machine in figures, for SysInfo, /metrics and the page. A figure that cannot be read is undefined here; only the
 * SysInfo message, whose fields are not optional, shows it as 0.
 */
import { readFile, statfs } from 'node:fs/promises';
import { cpus, loadavg, release, uptime } from 'node:os';
import type { Message } from '../../codec/prpc-messages.ts';
import { mounts } from '../../sys/mounts.ts';
import * as ui from '../../ui.ts';

export interface Disk {
  /** what is mounted: a device, a dataset, or the type of a virtual file system */
  readonly name: string;
  readonly mountPoint: string;
  /** bytes */
  readonly size: number;
  /** bytes that files take: without what is free, whoever may write it (`df`, Used) */
  readonly used: number;
  /** bytes that a program without privileges can still write */
  readonly available: number;
  /** nobody can write there: it is as full as it was made */
  readonly readOnly: boolean;
}

export interface SystemFigures {
  readonly osName: string;
  readonly osVersion: string;
  readonly kernel: string;
  /** `<name> @<MHz> MHz`, or empty */
  readonly cpuModel: string;
  readonly cpus: number;
  /** bytes */
  readonly memory: {
    readonly total?: number | undefined;
    readonly available?: number | undefined;
    readonly free?: number | undefined;
    readonly swapTotal?: number | undefined;
    readonly swapFree?: number | undefined;
  };
  /** of 1, 5 and 15 minutes */
  readonly load: readonly [number, number, number];
  /** seconds since the kernel started */
  readonly uptime: number;
  /** in the order of the mount points */
  readonly disks: readonly Disk[];
}

/** `Key: 123 kB` lines of /proc/meminfo as bytes (proc(5)). */
export function parseMeminfo(text: string): Map<string, number> {
  const out = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, key, value, unit] = /^(\w+(?:\(\w+\))?):\s+(\d+)(?: (kB))?$/.exec(line) ?? [];
    if (key !== undefined) out.set(key, Number(value) * (unit === 'kB' ? 1024 : 1));
  }
  return out;
}

/**
 * Model and clock of the first processor in /proc/cpuinfo. The runtime's own list has no clock where the kernel cannot
 * change it, which is every virtual machine.
 */
export function parseCpuinfo(text: string): { readonly model: string; readonly megahertz: number } {
  const value = (key: string): string => new RegExp(`^${key}\\s*: *(.*)$`, 'm').exec(text)?.[1]?.trim() ?? '';
  return { model: value('model name'), megahertz: Math.trunc(Number(value('cpu MHz'))) || 0 };
}

/** `KEY=value` lines of os-release(5), quotes removed. */
export function parseOsRelease(text: string): Map<string, string> {
  const out = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, key, value] = /^\s*(\w+)=(.*?)\s*$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined) out.set(key, value.replace(/^(["'])(.*)\1$/, '$2'));
  }
  return out;
}

const text = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');

/** @param dataDisks mount points to report */
export async function systemFigures(dataDisks: readonly string[]): Promise<SystemFigures> {
  const [meminfo, cpuinfo, osRelease, disks] = await Promise.all([
    text('/proc/meminfo'),
    text('/proc/cpuinfo'),
    text('/etc/os-release'),
    readDisks(dataDisks),
  ]);
  const memory = parseMeminfo(meminfo);
  const os = parseOsRelease(osRelease);
  const processor = parseCpuinfo(cpuinfo);
  const [one = 0, five = 0, fifteen = 0] = loadavg();
  return {
    osName: os.get('NAME') ?? '',
    osVersion: os.get('VERSION_ID') ?? '',
    kernel: release(),
    cpuModel: processor.model === '' ? '' : `${processor.model} @${processor.megahertz} MHz`,
    cpus: cpus().length,
    memory: {
      total: memory.get('MemTotal'),
      available: memory.get('MemAvailable'),
      free: memory.get('MemFree'),
      swapTotal: memory.get('SwapTotal'),
      swapFree: memory.get('SwapFree'),
    },
    load: [one, five, fifteen],
    uptime: uptime(),
    disks,
  };
}

/** SysInfo: memory and disks in bytes, load averages times 100, everything in whole numbers. */
export async function systemInformation(dataDisks: readonly string[]): Promise<Message<'SystemInfo'>> {
  const { memory, load, ...figures } = await systemFigures(dataDisks);
  const [one, five, fifteen] = load.map((value) => Math.trunc(value * 100));
  const { total = 0, available = 0, free = 0, swapTotal = 0, swapFree = 0 } = memory;
  return {
    os_name: figures.osName,
    os_version: figures.osVersion,
    kernel_version: figures.kernel,
    cpu_model: figures.cpuModel,
    num_cpus: figures.cpus,
    total_memory: total,
    available_memory: available,
    used_memory: total - available,
    free_memory: free,
    total_swap: swapTotal,
    used_swap: swapTotal - swapFree,
    free_swap: swapFree,
    uptime: Math.trunc(figures.uptime),
    loadavg_one: one ?? 0,
    loadavg_five: five ?? 0,
    loadavg_fifteen: fifteen ?? 0,
    disks: figures.disks.map(({ name, mountPoint, size, available: free_size }) => ({
      name,
      mount_point: mountPoint,
      total_size: size,
      free_size,
    })),
  };
}

async function readDisks(mountPoints: readonly string[]): Promise<Disk[]> {
  const table = await mounts().catch(() => []);
  const out: Disk[] = [];
  for (const mountPoint of [...new Set(mountPoints)].sort()) {
    const entry = table.findLast((mount) => mount.mountPoint === mountPoint);
    if (entry === undefined) continue;
    try {
      const { bsize, blocks, bfree, bavail } = await statfs(mountPoint);
      const readOnly = entry.options.split(',').includes('ro');
      out.push({
        name: entry.source,
        mountPoint,
        size: bsize * blocks,
        used: bsize * (blocks - bfree),
        available: bsize * bavail,
        readOnly,
      });
    } catch (thrown) {
      ui.warn(`the size of ${mountPoint} cannot be read: ${String(thrown)}`);
    }
  }
  return out;
}

/** Fields of the `cpu` line of /proc/stat, in USER_HZ, which is 100 on every Linux that a program can see (proc(5)). */
const CPU_MODES = ['user', 'nice', 'system', 'idle', 'iowait', 'irq', 'softirq', 'steal'] as const;
const USER_HZ = 100;

/** Seconds of all processors by mode; empty when the text has no `cpu` line. */
export function parseCpuTimes(stat: string): Map<string, number> {
  const ticks = /^cpu +([\d ]+)$/m.exec(stat)?.[1]?.split(' ') ?? [];
  return new Map(
    CPU_MODES.flatMap((mode, index) => (ticks[index] ? [[mode, Number(ticks[index]) / USER_HZ] as const] : [])),
  );
}

export const cpuTimes = async (): Promise<Map<string, number>> => parseCpuTimes(await text('/proc/stat'));
