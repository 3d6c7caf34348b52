/** app-compose.json as it lies on a disk. */
import { readLimited } from '../sys/files.ts';
import { APP_COMPOSE_LIMIT, type AppCompose, parseAppCompose } from './app-compose.ts';

/** The document at `path`. @throws as parseAppCompose, FILE_* */
export async function readAppCompose(path: string): Promise<AppCompose> {
  return parseAppCompose(await readLimited(path, APP_COMPOSE_LIMIT), path);
}
