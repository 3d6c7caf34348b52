/** `npm run bench -- NAME`: benchmarks report figures and never assert; compare within one run, the machines are noisy. */
import { readFileSync, writeFileSync } from 'node:fs';
import { npmScript, runScript, WrongOptions, wholeNumber } from '../scripts/lib/script.ts';
import { addRival } from './against.ts';
import { type BenchOptions, setOptions } from './options.ts';
import { fillPage, machineLine, type Report, reportTables, writeReport } from './report.ts';

const BENCHES: Record<string, { summary: string; load: () => Promise<unknown> }> = {
  cli: { summary: 'start-up of the compiled binary', load: () => import('./cli.ts') },
  keys: { summary: 'key derivation, signatures and certificates in one process', load: () => import('./keys.ts') },
  agent: {
    summary: 'requests a second and memory of the guest agent',
    load: () => import('./agent.ts'),
  },
  soak: { summary: 'the guest agent under mixed load', load: () => import('./soak.ts') },
  deploy: { summary: 'orphans and holds over 2,000 containers', load: () => import('./deploy.ts') },
  evidence: { summary: 'replay, verification, GetQuote, hostile evidence', load: () => import('./evidence.ts') },
  'verify-library': {
    summary: 'size of dstack-verify, and what it takes in Node',
    load: () => import('./verify-library.ts'),
  },
  fleet: { summary: '100,000 guests through outages, in virtual time', load: () => import('./fleet.ts') },
  gateway: { summary: 'time to recover from faults of a gateway', load: () => import('./gateway-faults.ts') },
  kms: { summary: 'the keys of an app from a KMS on this machine', load: () => import('./kms.ts') },
  boot: { summary: 'first start and later starts up to the answer of the app', load: () => import('./boot.ts') },
  disk: {
    summary: 'from the keys to the mounted volume',
    load: async () => (await import('./disk.ts')).benchDisk(),
  },
};

/** What `npm run bench` runs without a name: what the budgets of the project are about. */
const ALL = ['cli', 'agent', 'evidence', 'boot', 'disk'];
const RESULTS = '.cache/bench.json';
const PUBLISHED = 'bench/results.json';
const PAGE = 'docs/performance.md';

function publish(): void {
  const report = JSON.parse(readFileSync(RESULTS, 'utf8')) as Report;
  writeFileSync(PUBLISHED, `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(PAGE, fillPage(readFileSync(PAGE, 'utf8'), reportTables(report)));
  console.log(`wrote ${PUBLISHED} and ${PAGE}`);
}

async function bench(words: readonly string[], flags: BenchOptions): Promise<void> {
  // a number behind the names is how often
  const count = words.find((word) => /^[1-9]\d{0,6}$/.test(word));
  const asked = words.filter((word) => word !== count);
  const unknown = asked.find((name) => name !== 'docs' && !Object.hasOwn(BENCHES, name));
  if (unknown !== undefined) throw new WrongOptions(`unknown benchmark '${unknown}'`);
  if (asked.includes('docs') && words.length > 1) throw new WrongOptions('docs goes with no other word');
  if (asked[0] === 'docs') return publish();
  setOptions({ ...(count === undefined ? {} : { runs: Number(count) }), ...flags });
  console.log(`machine: ${machineLine()}`);
  for (const name of asked.length > 0 ? asked : ALL) await BENCHES[name]?.load();
  const report = writeReport(flags.json);
  console.log(`\nmachine: ${report.machine}\nfigures: ${flags.json}`);
}

const list = Object.entries(BENCHES).map(([key, { summary }]) => `  ${key.padEnd(14)} ${summary}`);
await runScript(
  npmScript('bench', `run benchmarks; without a name: ${ALL.join(', ')}`)
    .argument('[names...]', 'which ones, or docs')
    .option('--against <name=what>', 'another command or socket in the same run (several times)', addRival, [])
    .option('--runs <n>', 'repetitions of boot, evidence and kms', wholeNumber(1, 1e6))
    .option('--requests <n>', 'agent: requests for each method', wholeNumber(1, 1e9), 1_000_000)
    .option('--only <text>', 'agent: only the cases with this text in their name')
    .option('--canned <folder>', 'agent: answer from the attestation in this folder')
    .option('--minutes <n>', 'soak: how long', wholeNumber(1, 1e6), 10)
    .option('--json <file>', 'where the figures go', RESULTS)
    .addHelpText('after', `\n${list.join('\n')}\n  docs     copies the figures to ${PUBLISHED} and ${PAGE}`)
    .action(bench),
);
