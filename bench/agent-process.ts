/** The agent in canned mode as a process of its own, and what the kernel says about that process. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { ensureBinaries } from '../initramfs/vm/dev-image.ts';
import { bunNative } from '../src/sys/bun.ts';
import { type Guest, makeGuest } from '../test/agent/canned.ts';
import type { LoadOrder, LoadReport } from './http-load.ts';

export const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';

export interface AgentProcess {
  readonly guest: Guest;
  readonly pid: number;
  /** milliseconds from its start to its first answer */
  readonly readyAfter: number;
  stop(): Promise<void>;
}

/** Documents and evidence of a canned guest, by their usual names in one folder. */
const CANNED_FILES = {
  keys_file: 'appkeys.json',
  compose_file: 'app-compose.json',
  sys_config_file: 'sys-config.json',
} as const;

export interface AgentOptions {
  /** puts the methods of dstack.sock on a port as well: the same code, another kind of socket */
  readonly tcp?: boolean;
  /** folder with the files of a canned guest, attestation.bin among them; default: a guest made here */
  readonly canned?: string | undefined;
}

export async function startAgent({ tcp = false, canned }: AgentOptions = {}): Promise<AgentProcess> {
  const { util } = await ensureBinaries();
  const guest = await makeGuest({ compose: { public_logs: true, public_sysinfo: true } });
  if (tcp) {
    const config = JSON.parse(readFileSync(guest.configFile, 'utf8'));
    config.internal = { address: '127.0.0.1', port: guest.port };
    config.external.port = 0;
    writeFileSync(guest.configFile, JSON.stringify(config));
  }
  if (canned !== undefined) {
    const config = JSON.parse(readFileSync(guest.configFile, 'utf8'));
    const { core } = config.default;
    for (const [name, file] of Object.entries(CANNED_FILES)) core[name] = resolve(canned, file);
    core.simulator = { enabled: true, attestation_file: resolve(canned, 'attestation.bin'), patch_report_data: true };
    writeFileSync(guest.configFile, JSON.stringify(config));
  }
  const started = performance.now();
  const child = spawn(util, ['serve', '-c', guest.configFile], {
    stdio: 'ignore',
    env: { PATH: process.env['PATH'] ?? '', DSTACK_LOG: 'info' },
  });
  await untilAnswer(tcp ? guest.port : guest.dstackSock, child);
  return {
    guest,
    pid: child.pid ?? 0,
    readyAfter: performance.now() - started,
    async stop() {
      const exit = once(child, 'exit');
      child.kill('SIGTERM');
      await exit;
      guest.remove();
    },
  };
}

async function untilAnswer(target: string | number, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await answers(target))) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error('the agent did not start');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

function answers(target: string | number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = typeof target === 'string' ? connect(target) : connect(target, '127.0.0.1');
    const done = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('error', () => done(false));
    socket.on('data', () => done(true));
    socket.write('GET /Version HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
  });
}

/** Runs the client as a process of its own. */
export async function run(order: LoadOrder): Promise<LoadReport> {
  const { stdout } = await promisify(execFile)(BUN, ['bench/http-load.ts', JSON.stringify(order)], {
    maxBuffer: 1 << 20,
    timeout: (order.milliseconds ?? 540_000) + 60_000,
  });
  return JSON.parse(stdout) as LoadReport;
}

/** Microseconds of processor time a process has used (proc(5), fields 14 and 15; 100 ticks a second). */
export function cpuTime(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

const memoryMB = (pid: number, field: string): number =>
  Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;

/** Resident memory in MB. */
export const residentMB = (pid: number): number => memoryMB(pid, 'VmRSS');

/** The most that was ever resident, in MB. */
export const peakMB = (pid: number): number => memoryMB(pid, 'VmHWM');

/** Resident memory without the pages of files in MB: what the process itself has made. */
export const ownMB = (pid: number): number => memoryMB(pid, 'RssAnon');

/** The process that listens at a unix socket (SO_PEERCRED, unix(7)). */
export function listenerOf(path: string): Promise<number> {
  return new Promise((found, reject) => {
    const socket = connect(path, () => {
      const { fd } = (socket as { _handle?: { fd: number } })._handle ?? { fd: -1 };
      found(bunNative.peerCredentials(fd).pid);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

export const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;
