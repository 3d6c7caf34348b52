/** `npm run bench -- verify-library [runs]`: the size of the built library, and what it takes in Node to load it and to judge. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { buildVerifyLibrary } from '../packages/verify/build.ts';
import { mockCollateral } from '../simulator/mock-collateral.ts';
import { pemChain } from '../simulator/pki.ts';
import { bootEvents, PKI, quoteOf } from '../test/verify/guest.ts';
import { spreadOf } from './measure.ts';
import { options } from './options.ts';
import { noteSpread } from './report.ts';

const BUDGET_KB = 200;
const RUNS = options().runs ?? 15;

/** In a process of its own: milliseconds to load, to judge the first quote, and the median of ten more. */
const PROGRAM = `
import { readFileSync } from 'node:fs';
const began = performance.now();
const { verifyEvidence } = await import('./library/index.js');
const loaded = performance.now();
const options = { anyApp: true, collateral: readFileSync('collateral.json'), rootCa: readFileSync('root.pem') };
const judge = async () => {
  const from = performance.now();
  const { verdict } = await verifyEvidence(readFileSync('quote.bin'), options);
  if (verdict !== 'valid') throw new Error(verdict);
  return performance.now() - from;
};
const first = await judge();
const more = [];
for (let run = 0; run < 10; run++) more.push(await judge());
console.log(JSON.stringify([loaded - began, first, more.sort((a, b) => a - b)[5]]));
`;

const dir = mkdtempSync(join(tmpdir(), 'bench-library-'));
try {
  const { module } = buildVerifyLibrary(join(dir, 'library'));
  writeFileSync(join(dir, 'program.mjs'), PROGRAM);
  writeFileSync(join(dir, 'quote.bin'), quoteOf(bootEvents()));
  writeFileSync(join(dir, 'root.pem'), pemChain(PKI.root));
  writeFileSync(join(dir, 'collateral.json'), JSON.stringify(mockCollateral(PKI, Date.now())));
  const kb = gzipSync(readFileSync(module), { level: 9 }).length / 1000;
  noteSpread(
    { bench: 'verify-library', name: 'size of the module, gzip -9', unit: 'kB', budget: BUDGET_KB },
    spreadOf([kb]),
  );
  console.log(`  size of the module, gzip -9: ${kb.toFixed(1)} kB, budget ${BUDGET_KB} kB`);
  const runs: number[][] = [];
  for (let run = 0; run < RUNS; run++) {
    const { stdout } = await promisify(execFile)('node', ['program.mjs'], { cwd: dir });
    runs.push(JSON.parse(stdout) as number[]);
  }
  for (const [index, name] of ['load it in Node', 'judge the first quote', 'judge another quote'].entries()) {
    const spread = spreadOf(runs.map((values) => values[index] ?? Number.NaN));
    noteSpread({ bench: 'verify-library', name, unit: 'ms' }, spread);
    console.log(`  ${name}: ${spread.median.toFixed(1)} ms (${spread.min.toFixed(1)} to ${spread.max.toFixed(1)})`);
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}
