/**
 * Makes the published form of the library: one ES module without dependencies, its types, README.md, and the notices of what
 * is bundled. Called by `npm run dist`, by tests, and by whatever embeds the library.
 */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { notices } from './notices.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const HERE = join(ROOT, 'packages/verify');
const BUN = join(ROOT, 'node_modules/@oven/bun-linux-x64-baseline/bin/bun');

/** Where the parts of a built library are. */
export interface BuiltLibrary {
  /** the folder to publish: what `npm pack` takes */
  readonly dir: string;
  /** the ES module, to import or to inline into a page */
  readonly module: string;
}

/** @param outDir is replaced; its parent exists or is made @throws Error when the bundle needs anything of Node */
export function buildVerifyLibrary(outDir: string): BuiltLibrary {
  const { version, license, engines } = readJson(join(ROOT, 'package.json'));
  rmSync(outDir, { recursive: true, force: true });
  mkdirSync(outDir, { recursive: true });
  const module = join(outDir, 'index.js');
  const bundled = bundle(module, version as string);
  writeTypes(outDir);
  writeFileSync(join(outDir, 'NOTICE'), notices('dstack-verify', bundled));
  for (const name of ['README.md']) copyFileSync(join(HERE, name), join(outDir, name));
  copyFileSync(join(ROOT, 'LICENSE'), join(outDir, 'LICENSE'));
  const manifest = {
    name: 'dstack-verify',
    version,
    description: 'Judges the evidence of confidential VMs of dstack (Intel TDX) in any JavaScript engine',
    license,
    type: 'module',
    sideEffects: false,
    engines,
    exports: { '.': { types: './index.d.ts', default: './index.js' } },
    types: './index.d.ts',
    files: ['*.js', '*.d.ts', 'NOTICE'],
  };
  writeFileSync(join(outDir, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  return { dir: outDir, module };
}

const readJson = (path: string): Record<string, unknown> => JSON.parse(readFileSync(path, 'utf8'));

/** @returns the folders of the packages that are in the bundle, from the root of the project */
function bundle(module: string, version: string): string[] {
  const printed = execFileSync(BUN, [join(HERE, 'bundle.ts'), module, version], { cwd: ROOT, encoding: 'utf8' });
  const { packages } = JSON.parse(printed) as { packages: string[] };
  return packages;
}

/** Types of the face only: what it declares is written in terms of the web and of itself. */
function writeTypes(outDir: string): void {
  const temp = mkdtempSync(join(tmpdir(), 'verify-types-'));
  try {
    execFileSync(join(ROOT, 'node_modules/.bin/tsc'), ['-p', join(HERE, 'tsconfig.json'), '--outDir', temp], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const from = join(temp, 'packages/verify');
    for (const name of readdirSync(from)) {
      const text = readFileSync(join(from, name), 'utf8');
      if (!name.endsWith('.d.ts') || !isFace(name)) continue;
      if (text.includes('/src/')) throw new Error(`the types in ${name} lead into the sources of the program`);
      writeFileSync(join(outDir, name), text.replaceAll(/(from '\.\/[a-z-]+)\.ts'/g, "$1.js'"));
    }
  } finally {
    rmSync(temp, { recursive: true, force: true });
  }
}

/** Files that are no part of what is published. */
const isFace = (name: string): boolean => !['build', 'bundle', 'dcap-crypto'].includes(name.replace(/\.d\.ts$/, ''));

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { dir } = buildVerifyLibrary(process.argv[2] ?? 'dist/dstack-verify');
  if (existsSync(dir)) console.error(`built ${dir}`);
}
