/**
 * The container image of the demo app: three programs of Debian packages with the libraries they need, and the app's
 * own scripts. Taken from the tools tree, so no registry and no second package download is involved; about 15 MB.
 */
import { readdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { cached, hashTree, keyOf, projectRoot } from '../lib/cache.ts';
import { sourceDateEpoch } from '../lib/mmdebstrap.ts';
import { ensureTools, runInTools } from '../lib/tools.ts';
import { dockerArchive } from './docker-archive.ts';
import type { TarEntry } from './tar.ts';

/** Name and tag under which docker knows the image. */
export const DEMO_TAG = 'dstack-demo:1';
/** Where the dev image keeps the archive. */
export const DEMO_ARCHIVE = '/usr/share/dstack/demo-app.tar';

const PROGRAMS = ['/usr/bin/busybox', '/usr/bin/socat', '/usr/bin/openssl'];
/** The applets the scripts use. */
const APPLETS = ['sh', 'cat', 'cut', 'head', 'sed', 'xxd'];
const appDir = join(projectRoot, 'initramfs/demo/app');

/** The path of the archive on this host, built when it is missing. */
export async function ensureDemoArchive(): Promise<string> {
  const tools = await ensureTools({});
  const key = keyOf('demo 1', tools.key, PROGRAMS, APPLETS, await hashTree(appDir));
  const dir = await cached('demo', key, async (temp) => {
    const archive = dockerArchive({
      tag: DEMO_TAG,
      files: await demoFiles(tools.dir),
      config: {
        Cmd: ['/app/start.sh'],
        Env: ['PATH=/usr/bin'],
        User: '65534:65534',
        WorkingDir: '/app',
        ExposedPorts: { '8080/tcp': {} },
      },
      created: sourceDateEpoch,
    });
    await writeFile(join(temp, 'demo-app.tar'), archive);
  });
  return join(dir, 'demo-app.tar');
}

async function demoFiles(tree: string): Promise<TarEntry[]> {
  const files = new Map<string, TarEntry>();
  const add = (entry: TarEntry) => files.set(entry.path, entry);
  for (const path of [...PROGRAMS, ...(await libraries(PROGRAMS))]) {
    // a library is found under the name the program asks for: copy its content under that name
    const data = await readFile(await realpath(join(tree, path)));
    add({ path: merged(path), type: 'file', mode: 0o755, data });
  }
  for (const applet of APPLETS) add({ path: `usr/bin/${applet}`, type: 'symlink', target: 'busybox' });
  for (const name of await readdir(appDir)) {
    const mode = name.endsWith('.sh') ? 0o755 : 0o644;
    add({ path: `app/${name}`, type: 'file', mode, data: await readFile(join(appDir, name)) });
  }
  for (const name of ['bin', 'lib', 'lib64']) add({ path: name, type: 'symlink', target: `usr/${name}` });
  for (const path of [...files.keys(), 'tmp/x']) {
    for (let dir = dirname(path); dir !== '.'; dir = dirname(dir)) {
      if (!files.has(dir)) add({ path: dir, type: 'directory', mode: dir === 'tmp' ? 0o1777 : 0o755 });
    }
  }
  return [...files.values()];
}

/** `/lib/x` and `/usr/lib/x` are one place since Debian merged its directories. */
const merged = (path: string): string => relative('/', path.startsWith('/usr/') ? path : join('/usr', path));

/** The shared libraries of the programs, as paths in the tree. */
async function libraries(programs: readonly string[]): Promise<string[]> {
  const { stdout } = await runInTools(['ldd', ...programs], { allowFailure: true }); // 1 = one of them is static
  return parseLdd(stdout);
}

/** The paths in the output of ldd(1), each once. */
export function parseLdd(text: string): string[] {
  const paths = text.split('\n').flatMap((line) => /^\s+(?:\S+ => )?(\/\S+) \(0x/.exec(line)?.[1] ?? []);
  return [...new Set(paths)].sort();
}
