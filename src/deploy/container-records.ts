/**
 * Docker's own records of its containers, while dockerd does not run: a folder for each in DOCKER_ROOT/containers, named
 * by its id, with `config.v2.json` and `hostconfig.json`. Read without promises: nothing else happens in the process, and
 * thousands of small files are read several times as fast.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { DstackError } from '../errors.ts';
import { readTextSync } from '../sys/read-sync.ts';

export const CONFIG = 'config.v2.json';
export const HOST_CONFIG = 'hostconfig.json';
const RECORD_LIMIT = 16 * 1024 * 1024;

export interface ContainerFolder {
  readonly id: string;
  readonly dir: string;
}

/** Folders below `dockerRoot`/containers, by name; links are not docker's. Empty on a new disk. @throws FILE_IO */
export function containerFolders(dockerRoot: string): ContainerFolder[] {
  const root = join(dockerRoot, 'containers');
  let entries: fs.Dirent[];
  try {
    entries = fs.readdirSync(root, { withFileTypes: true });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new DstackError('FILE_IO', `cannot list ${root}`, { path: root, cause: thrown });
  }
  return entries
    .flatMap((entry) => (entry.isDirectory() ? [{ id: entry.name, dir: `${root}/${entry.name}` }] : []))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

/**
 * One record, an object.
 * @returns undefined when there is no such file
 * @throws FILE_NOT_REGULAR, FILE_TOO_LARGE, FILE_IO, DOCUMENT_INVALID
 */
export function readRecord({ dir }: ContainerFolder, name: string): Record<string, unknown> | undefined {
  const path = `${dir}/${name}`;
  const text = readTextSync(path, RECORD_LIMIT);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    throw new DstackError('DOCUMENT_INVALID', `file ${path} is not valid JSON`, { path, cause: thrown });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new DstackError('DOCUMENT_INVALID', `file ${path} must hold a JSON object`, { path });
  return value as Record<string, unknown>;
}

/** `Config.Labels` of a container's `config.v2.json`; empty when it has none. */
export function labelsOf(config: Record<string, unknown> | undefined): Readonly<Record<string, unknown>> {
  const labels = (config?.['Config'] as { Labels?: unknown } | null | undefined)?.Labels;
  return typeof labels === 'object' && labels !== null ? (labels as Record<string, unknown>) : {};
}
