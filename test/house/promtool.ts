/**
 * promtool of Debian's package prometheus: the installed one, else taken out of the package into the cache of the
 * repository (19 MB, seconds). Nothing is installed: the package would start a server.
 */
import { existsSync, readdirSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { cached } from '../../initramfs/lib/cache.ts';
import { run } from '../../initramfs/lib/run.ts';

const INSTALLED = ['/usr/bin/promtool', '/usr/local/bin/promtool'];
const LIMIT = { timeoutMs: 180_000 };

/** Its path, or why it cannot be had. */
export async function promtool(): Promise<{ readonly path: string } | { readonly missing: string }> {
  const installed = INSTALLED.find((path) => existsSync(path));
  if (installed !== undefined) return { path: installed };
  try {
    return { path: join(await cached('promtool', '1', takeOut), 'promtool') };
  } catch (thrown) {
    return { missing: `promtool cannot be had: ${(thrown as Error).message.split('\n')[0]}` };
  }
}

async function takeOut(dir: string): Promise<void> {
  await run(['apt-get', 'download', '-qq', 'prometheus'], { cwd: dir, ...LIMIT });
  const archive = readdirSync(dir).find((file) => file.endsWith('.deb'));
  if (archive === undefined) throw new Error('apt downloaded nothing');
  await run(['dpkg-deb', '-x', archive, 'tree'], { cwd: dir, ...LIMIT });
  await rename(join(dir, 'tree/usr/bin/promtool'), join(dir, 'promtool'));
  for (const rest of ['tree', archive]) await run(['rm', '-rf', rest], { cwd: dir });
}
