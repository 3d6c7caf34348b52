/** `npm run bench -- NAME`: benchmarks report figures and never assert; compare within one run, the machines are noisy. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fillPage, machineLine, type Report, reportTables, writeReport } from './report.ts';

const BENCHES: Record<string, { summary: string; load: () => Promise<unknown> }> = {
  cli: { summary: 'start-up of the compiled binary', load: () => import('./cli.ts') },
  keys: { summary: 'key derivation, signatures and certificates in one process', load: () => import('./keys.ts') },
  agent: {
    summary: 'requests a second and memory of the guest agent [--requests N] [--only TEXT] [--canned FOLDER]',
    load: () => import('./agent.ts'),
  },
  soak: { summary: 'the guest agent under mixed load [--minutes N]', load: () => import('./soak.ts') },
  deploy: { summary: 'orphans and holds over 2,000 containers', load: () => import('./deploy.ts') },
  evidence: { summary: 'replay, verification, GetQuote, hostile evidence', load: () => import('./evidence.ts') },
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

const USAGE = `usage: npm run bench [-- NAME...] [--against NAME=COMMAND|SOCKET] [--json FILE]
${Object.entries(BENCHES)
  .map(([key, { summary }]) => `  ${key.padEnd(8)} ${summary}`)
  .join('\n')}
  docs     publishes ${RESULTS}: ${PUBLISHED} and the tables of ${PAGE}
without a name: ${ALL.join(', ')}. Figures go to ${RESULTS}, or to the file named with --json.`;

/** Words that are no options and no values of options. */
function names(argv: readonly string[]): string[] {
  return argv.filter(
    (word, i) => !word.startsWith('-') && !/^--[a-z]+$/.test(argv[i - 1] ?? '') && !/^\d+$/.test(word),
  );
}

function publish(): void {
  const report = JSON.parse(readFileSync(RESULTS, 'utf8')) as Report;
  writeFileSync(PUBLISHED, `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(PAGE, fillPage(readFileSync(PAGE, 'utf8'), reportTables(report)));
  console.log(`wrote ${PUBLISHED} and ${PAGE}`);
}

const asked = names(process.argv.slice(2));
const unknown = asked.find((name) => name !== 'docs' && !Object.hasOwn(BENCHES, name));
if (unknown !== undefined || process.argv.includes('--help')) {
  console.error(unknown === undefined ? USAGE : `unknown benchmark: ${unknown}\n${USAGE}`);
  process.exitCode = unknown === undefined ? 0 : 2;
} else if (asked[0] === 'docs') publish();
else {
  console.log(`machine: ${machineLine()}`);
  for (const name of asked.length > 0 ? asked : ALL) await BENCHES[name]?.load();
  const at = process.argv.indexOf('--json');
  const file = (at < 0 ? undefined : process.argv[at + 1]) ?? RESULTS;
  const report = writeReport(file);
  console.log(`\nmachine: ${report.machine}\nfigures: ${file}`);
}
