/** What the doctor looks at. Everything only reads; tests put a guest with a known illness here. */
import { readdir, realpath, stat, statfs } from 'node:fs/promises';
import { hostShared, PATHS } from '../../config/paths.ts';
import type { ContainerSummary } from '../../deploy/deploy.ts';
import { DstackError } from '../../errors.ts';
import type { DiskStatus } from '../../fde/fde.ts';
import type { RunResult } from '../../sys/exec.ts';
import { ifExists, readLimited, utf8, wipe } from '../../sys/files.ts';
import type { Program } from '../../sys/programs.ts';
import type { RuntimeEvent } from '../../tdx/events.ts';
import { realTdxMachine } from '../../tdx/tdx-machine.ts';

export interface GuestMachine {
  /** Unix milliseconds */
  now(): number;
  /** runs a program that only looks, with a short limit; any exit status is an answer */
  look(program: Program, args: readonly string[]): Promise<RunResult>;
  /** text of a file of at most 1 MiB; undefined when it is not there */
  text(path: string): Promise<string | undefined>;
  /** names in a folder, at most 10,000; empty when it is not there */
  names(dir: string): Promise<readonly string[]>;
  /** the path behind all symbolic links, `/dev/null` for an empty file too; undefined when nothing is there */
  target(path: string): Promise<string | undefined>;
  /** throws TEE_NOT_FOUND */
  tee(): Promise<string>;
  /** 48 bytes */
  rtmr3(): Promise<Uint8Array>;
  events(): Promise<readonly RuntimeEvent[]>;
  disk(): Promise<DiskStatus>;
  /** share of the file system's blocks in use, 0 to 1; undefined when there is no such folder */
  used(mountPoint: string): Promise<number | undefined>;
  /** calls a method of the agent over a socket; throws AGENT_UNREACHABLE */
  call(socket: string, method: string): Promise<unknown>;
  /** what the agent says of the app's health; null for an app that asks for no health checks; throws AGENT_UNREACHABLE */
  health(): Promise<HealthAnswer | null>;
  containers(): Promise<ContainerSummary[]>;
  /** PEM of the app's CA certificate; undefined before setup wrote the keys */
  caCert(): Promise<string | undefined>;
}

/** `health` of the agent's /readyz. */
export interface HealthAnswer {
  readonly healthy: boolean;
  readonly unhealthy: readonly { readonly name: string; readonly status: string }[];
  readonly error: string;
}

const READYZ = 'http://127.0.0.1:8090/readyz';
const LIMIT = 1024 * 1024;
const MAX_NAMES = 10_000;
const LOOK_MS = 10_000;
const CALL_MS = 5000;

export const realGuestMachine: GuestMachine = {
  now: () => Date.now(),
  look: async (program, args) =>
    (await import('../../sys/exec.ts')).run(program, args, {
      readOnly: true,
      timeoutMs: LOOK_MS,
      ok: Array.from({ length: 256 }, (_, status) => status),
    }),
  text: async (path) => {
    const bytes = await ifExists(() => readLimited(path, LIMIT));
    return bytes === undefined ? undefined : utf8(bytes, path);
  },
  names: async (dir) => (await ifExists(() => readdir(dir)))?.slice(0, MAX_NAMES) ?? [],
  target: async (path) => {
    const real = await ifExists(() => realpath(path));
    if (real === undefined) return undefined;
    const { size } = await stat(real);
    return size === 0 ? '/dev/null' : real;
  },
  tee: async () => (await import('../../tdx/platform.ts')).detectTee(realTdxMachine).variant,
  rtmr3: async () => (await import('../../tdx/rtmr.ts')).readRtmr(3, realTdxMachine),
  events: async () => (await import('../../tdx/event-log.ts')).readRuntimeEvents(realTdxMachine),
  disk: async () => {
    const { diskStatus, realDiskMachine } = await import('../../fde/fde.ts');
    return diskStatus(undefined, realDiskMachine);
  },
  used: async (mountPoint) => {
    const of = await ifExists(() => statfs(mountPoint));
    return of === undefined ? undefined : of.blocks === 0 ? 0 : 1 - of.bavail / of.blocks;
  },
  call: async (socket, method) => {
    const { callJson } = await import('../../net/net.ts');
    const codes = { unreachable: 'AGENT_UNREACHABLE', failed: 'AGENT_UNREACHABLE' } as const;
    return callJson(`unix:${socket}`, method, {}, { timeoutMs: CALL_MS, ...codes });
  },
  health: async () => {
    try {
      const answer = await fetch(READYZ, { signal: AbortSignal.timeout(CALL_MS) }); // 503 has the same document
      return ((await answer.json()) as { health?: HealthAnswer | null }).health ?? null;
    } catch (thrown) {
      throw new DstackError('AGENT_UNREACHABLE', `the agent does not answer at ${READYZ}`, {
        value: READYZ,
        cause: thrown,
      });
    }
  },
  containers: async () => (await import('../../deploy/deploy.ts')).listContainers(),
  caCert: async () => {
    const path = hostShared('appKeys');
    const raw = await ifExists(() => readLimited(path, LIMIT));
    if (raw === undefined) return undefined;
    const { parseAppKeys, wipeAppKeys } = await import('../../config/app-keys.ts');
    const keys = parseAppKeys(raw, path);
    wipe(raw);
    wipeAppKeys(keys); // the certificate is public, the rest is not wanted here
    return keys.caCert;
  },
};

/** Sockets that the containers use. */
export const SOCKETS = [
  { path: PATHS.dstackSocket, method: 'Version' },
  { path: PATHS.tappdSocket, method: 'prpc/Tappd.Info' },
] as const;
