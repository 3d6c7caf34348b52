/** `node scripts/run.mjs docs`: generates docs/errors.md, docs/openapi.json, docs/commands/*.md and docs/schemas from the tables in the code. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { commandPages, errorsPage, openapiText } from './docs-pages.ts';
import { npmScript, runScript } from './lib/script.ts';
import { schemaFiles, WRITTEN } from './schemas/files.ts';

/** Writes the files of a folder and removes all others from it, but those that are written by hand. */
function fill(folder: string, files: ReadonlyMap<string, string>, byHand: readonly string[] = []): void {
  mkdirSync(folder, { recursive: true });
  for (const stale of readdirSync(folder).filter((name) => !files.has(name) && !byHand.includes(name)))
    rmSync(`${folder}/${stale}`);
  for (const [name, text] of files) writeFileSync(`${folder}/${name}`, text);
}

async function docs(): Promise<void> {
  writeFileSync('docs/errors.md', errorsPage());
  writeFileSync('docs/openapi.json', openapiText());
  const pages = await commandPages();
  const schemas = schemaFiles();
  fill('docs/commands', pages);
  fill('docs/schemas', schemas, WRITTEN);
  console.error(
    `wrote docs/errors.md, docs/openapi.json, ${pages.size} pages in docs/commands and ${schemas.size} files in docs/schemas`,
  );
}

await runScript(
  npmScript('docs', 'generate docs/errors.md, docs/openapi.json, docs/commands and docs/schemas').action(docs),
);
