/** `npm run bench -- deploy`: what the start of the app costs before docker is asked: orphans and holds over 2,000 containers. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ensureBinaries } from '../initramfs/vm/dev-image.ts';
import { machineLine, repeat, row } from './measure.ts';

const CONTAINERS = 2000;
const RUNS = 20;
const BUDGET_MS = 300;

const dir = mkdtempSync(join(tmpdir(), 'bench-deploy-'));
const run = promisify(execFile);
try {
  const root = join(dir, 'docker');
  for (let n = 0; n < CONTAINERS; n++) {
    const id = n.toString(16).padStart(64, '0');
    const folder = join(root, 'containers', id);
    mkdirSync(folder, { recursive: true });
    const labels = {
      'com.docker.compose.project': 'dstack',
      'com.docker.compose.service': n % 10 === 0 ? 'gone' : 'web',
    };
    // as large as docker's own records of a small container
    const padding = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`Field${i}`, 'x'.repeat(40)]));
    const config = { ID: id, State: { ExitCode: 0 }, Config: { Labels: labels }, ...padding };
    writeFileSync(join(folder, 'config.v2.json'), JSON.stringify(config));
    writeFileSync(join(folder, 'hostconfig.json'), JSON.stringify({ RestartPolicy: { Name: 'no' }, ...padding }));
  }
  const compose = join(dir, 'dstack/docker-compose.yaml');
  mkdirSync(join(dir, 'dstack'));
  writeFileSync(compose, 'services: {web: {image: x}}\n');
  const { util } = await ensureBinaries();
  console.log(machineLine());
  const orphans = await repeat(RUNS, async () => {
    const { stdout } = await run(util, ['remove-orphans', '-n', '--no-dockerd', '-d', root, '-f', compose]);
    if (stdout.trim().split('\n').length !== CONTAINERS / 10) throw new Error('wrong orphans');
  });
  row(`remove-orphans --no-dockerd, ${CONTAINERS} containers, whole process`, orphans, BUDGET_MS);
  const held = await repeat(RUNS, async () => {
    await run(util, ['deploy', 'hold', '--docker-root', root]);
  });
  row(`deploy hold, ${CONTAINERS} containers without a policy, whole process`, held, BUDGET_MS);
} finally {
  rmSync(dir, { recursive: true, force: true });
}
