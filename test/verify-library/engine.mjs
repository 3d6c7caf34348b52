/**
 * `node|bun engine.mjs MODULE ANSWERS < fixtures.json`: takes away everything that only this runtime has before the
 * library is loaded, so that it has no more than what the web defines.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { runAll } from './run-all.mjs';

const [, , module, answers] = process.argv;
const fixtures = JSON.parse(readFileSync(0, 'utf8'));
// Bun makes this one when it is first used, with its own `process`
void globalThis.crypto;
// and keeps its own name
for (const name of ['process', 'Buffer', 'global', 'require', 'setImmediate', 'clearImmediate', 'navigator', 'Bun'])
  Reflect.deleteProperty(globalThis, name);
for (const name of ['process', 'Buffer', 'global', 'require', 'setImmediate'])
  if (name in globalThis) throw new Error(`${name} is still there`);
const library = await import(module);
writeFileSync(answers, JSON.stringify(await runAll(library, fixtures)));
