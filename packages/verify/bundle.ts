/**
 * Bundles the library into one ES module that needs nothing but JavaScript and the globals of the web. Run by Bun:
 * `bun packages/verify/bundle.ts OUT_FILE VERSION`. Everybody else calls `buildVerifyLibrary` in build.ts.
 */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { bundledPackages } from './notices.ts';
import { withoutNode } from './without-node.ts';

const [outFile = '', version = ''] = process.argv.slice(2);
const root = resolve(import.meta.dir, '../..');

const result = await Bun.build({
  entrypoints: [join(import.meta.dir, 'index.ts')],
  root,
  target: 'browser',
  format: 'esm',
  minify: true,
  sourcemap: 'none',
  metafile: true,
  define: { DSTACK_VERSION: JSON.stringify(version) },
  external: ['node:*'],
  plugins: [withoutNode],
});
if (!result.success || result.outputs.length !== 1) throw new Error(result.logs.map(String).join('\n'));
const text = (await result.outputs[0]?.text()) ?? '';
const foreign = /\b(?:from|import) ?\(?["'`](?:node:|bun:|[a-z@./])[^"'`]*["'`]/.exec(text);
if (foreign !== null) throw new Error(`the library is not complete in itself: ${foreign[0]}`);
writeFileSync(outFile, text);
console.log(JSON.stringify({ packages: bundledPackages(result.metafile) }));
