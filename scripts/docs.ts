/** `node scripts/run.mjs docs`: generates docs/errors.md, docs/openapi.json and docs/commands/*.md from the tables in the code. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { commandPages, errorsPage, openapiText } from './docs-pages.ts';
import { npmScript, runScript } from './lib/script.ts';

async function docs(): Promise<void> {
  writeFileSync('docs/errors.md', errorsPage());
  writeFileSync('docs/openapi.json', openapiText());
  mkdirSync('docs/commands', { recursive: true });
  const pages = await commandPages();
  for (const stale of readdirSync('docs/commands').filter((name) => !pages.has(name))) rmSync(`docs/commands/${stale}`);
  for (const [name, text] of pages) writeFileSync(`docs/commands/${name}`, text);
  console.error(`wrote docs/errors.md, docs/openapi.json and ${pages.size} pages in docs/commands`);
}

await runScript(
  npmScript('docs', 'generate docs/errors.md, docs/openapi.json and docs/commands from the code').action(docs),
);
