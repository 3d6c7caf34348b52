/** `npm run bench -- NAME`: benchmarks report figures and never assert; compare within one run, the machines are noisy. */
const BENCHES: Record<string, { summary: string; load: () => Promise<unknown> }> = {
  keys: { summary: 'key derivation, signatures and certificates in one process', load: () => import('./keys.ts') },
  agent: {
    summary: 'requests a second and memory of the guest agent [--requests N]',
    load: () => import('./agent.ts'),
  },
  soak: { summary: 'the guest agent under mixed load [--minutes N]', load: () => import('./soak.ts') },
  deploy: { summary: 'orphans and holds over 2,000 containers', load: () => import('./deploy.ts') },
  evidence: { summary: 'replay, verification, GetQuote, hostile evidence', load: () => import('./evidence.ts') },
  fleet: { summary: '100,000 guests through outages, in virtual time', load: () => import('./fleet.ts') },
  gateway: { summary: 'time to recover from faults of a gateway', load: () => import('./gateway-faults.ts') },
  kms: { summary: 'the keys of an app from a KMS on this machine', load: () => import('./kms.ts') },
  boot: { summary: 'first start, later starts, start-up of the binary, data disk', load: () => import('./boot.ts') },
  disk: {
    summary: 'from the keys to the mounted volume (part of boot)',
    load: async () => (await import('./disk.ts')).benchDisk(),
  },
};

const name = process.argv[2] ?? '';
const bench = BENCHES[name];
if (bench) await bench.load();
else {
  console.error(
    `usage: npm run bench -- NAME\n${Object.entries(BENCHES)
      .map(([key, { summary }]) => `  ${key.padEnd(8)} ${summary}`)
      .join('\n')}`,
  );
  process.exitCode = 2;
}
