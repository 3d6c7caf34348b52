/**
 * `npm run simulator`: the guest agent on a canned attestation, for people who only want the sockets. Files are made once
 * by dstack-sim under .cache/simulator; the agent then listens there on dstack.sock, tappd.sock and on 127.0.0.1:8090.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { $ } from 'zx';

const BUN = resolve('node_modules/@oven/bun-linux-x64-baseline/bin/bun');
const DIR = '.cache/simulator';

$.verbose = false;
if (!existsSync(`${DIR}/dstack.toml`)) {
  console.error(`making the canned attestation in ${DIR}`);
  await $`mkdir -p ${DIR}`;
  await $`${BUN} simulator/dstack-sim.ts attestation --out ${DIR}`;
}
console.error(
  `sockets: ${DIR}/dstack.sock, ${DIR}/tappd.sock; page: http://127.0.0.1:8090/ (ports and paths: ${DIR}/dstack.toml)`,
);
console.error(`try: curl --unix-socket ${DIR}/dstack.sock 'http://dstack/GetKey?path=demo'`);
const child = spawn(BUN, [resolve('bin/dstack-util.ts'), 'serve', '-c', 'dstack.toml', ...process.argv.slice(2)], {
  cwd: DIR,
  stdio: 'inherit',
});
for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
process.on('SIGINT', () => {}); // Ctrl-C reaches the agent itself, which stops gracefully
child.on('exit', (status) => {
  process.exitCode = status ?? 1;
});
