/** The registry mirror of docker (dstack boot order, docker registry): `registry-mirrors` in /etc/docker/daemon.json. */
import { dirname } from 'node:path';
import { DstackError } from '../errors.ts';
import { ifExists, makeDir, readLimited, utf8, writeAtomic } from '../sys/files.ts';

const DAEMON_JSON = '/etc/docker/daemon.json';
const LIMIT = 1024 * 1024;

/**
 * Sets the one mirror and keeps all other settings; the file is written compactly.
 * @param registry `docker_registry` of .sys-config.json; empty or undefined = nothing to do
 * @throws DOCUMENT_INVALID when the present file is not a JSON object
 */
export async function setupDockerRegistry(registry: string | undefined, path = DAEMON_JSON): Promise<void> {
  if (!registry) return;
  const bytes = await ifExists(() => readLimited(path, LIMIT));
  let settings: unknown = {};
  try {
    if (bytes !== undefined) settings = JSON.parse(utf8(bytes, path));
  } catch (thrown) {
    throw new DstackError('DOCUMENT_INVALID', `file ${path} is not valid JSON`, { path, cause: thrown });
  }
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings))
    throw new DstackError('DOCUMENT_INVALID', `file ${path} must hold a JSON object`, { path });
  await makeDir(dirname(path));
  await writeAtomic(path, JSON.stringify({ ...settings, 'registry-mirrors': [registry] }), 0o644);
}
