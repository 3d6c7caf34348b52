/**
 * The init scripts of the app. All run in ONE bash, in order, with /dstack as working directory: what a script defines is
 * there for the next one, and a failing command ends the boot (dstack boot order, init scripts).
 */
import * as fs from 'node:fs/promises';
import { MAX_INIT_SCRIPTS } from '../../config/app-compose.ts';
import { HOST_SHARED } from '../../config/paths.ts';
import { DstackError } from '../../errors.ts';
import { runAttached } from '../../sys/attached.ts';
import { effect } from '../../sys/effects.ts';
import { makeDir, writeAtomic } from '../../sys/files.ts';

/**
 * Sources each file given as an argument under `set -e`. Descriptor 3 tells us which one is running; the script itself and
 * whatever it leaves in the background do not have it.
 */
const DRIVER = `set -e
dstack_number=0
for dstack_script in "$@"; do
  dstack_number=$((dstack_number + 1))
  echo "$dstack_number" >&3
  { source "$dstack_script"; } 3>&-
done`;

/**
 * @param cwd working directory
 * @param dir folder for the script files while they run; created, and removed at the end
 * @throws SCRIPT_LIMIT for more than five, SCRIPT_FAILED naming the script and its exit status
 */
export async function runInitScripts(scripts: readonly string[], cwd: string, dir: string): Promise<void> {
  const field = 'init_script';
  if (scripts.length > MAX_INIT_SCRIPTS) {
    throw new DstackError('SCRIPT_LIMIT', `${scripts.length} init scripts, at most ${MAX_INIT_SCRIPTS} are allowed`, {
      path: HOST_SHARED.appCompose,
      field,
      value: scripts.length,
    });
  }
  if (scripts.length === 0) return;
  await makeDir(dir, 0o700);
  try {
    const files = scripts.map((_, index) => `${dir}/init-script-${index + 1}`);
    for (const [index, file] of files.entries()) await writeAtomic(file, scripts[index] ?? '', 0o600);
    const args = ['--noprofile', '--norc', '-c', DRIVER, 'init-script', ...files];
    const { exit, captured } = await runAttached('bash', args, { cwd });
    if (exit === 0) return;
    const number = new TextDecoder().decode(captured).trim().split('\n').at(-1);
    throw new DstackError('SCRIPT_FAILED', `init script ${number} failed with exit status ${exit}`, {
      path: HOST_SHARED.appCompose,
      field,
      value: number,
    });
  } finally {
    await effect(`remove ${dir}`, undefined, () => fs.rm(dir, { recursive: true, force: true }));
  }
}
