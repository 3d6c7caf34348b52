/**
 * `npm run simulator`: the guest agent on a canned attestation, for people who only want the sockets. Files are made once
 * by dstack-sim under .cache/simulator; the agent then listens there on dstack.sock, tappd.sock and on 127.0.0.1:8090 (`-- --port N` for another port).
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { $ } from 'zx';

const BUN = resolve('node_modules/@oven/bun-linux-x64-baseline/bin/bun');
const DIR = '.cache/simulator';

const { values: options } = parseArgs({ options: { port: { type: 'string', default: '8090' } } });
const port = Number(options.port);
if (!Number.isInteger(port) || port < 1 || port > 65535)
  throw new Error(`--port must be 1 to 65535, not ${options.port}`);

$.verbose = false;
if (!existsSync(`${DIR}/dstack.toml`)) {
  console.error(`making the canned attestation in ${DIR}`);
  mkdirSync(DIR, { recursive: true });
  await $`${BUN} simulator/dstack-sim.ts attestation --out ${DIR}`;
}
// dstack.toml keeps to unix sockets; a second layer puts the page where a browser finds it
writeFileSync(`${DIR}/dstack.json`, JSON.stringify({ external: { address: '127.0.0.1', port } }));
console.error(`sockets: ${DIR}/dstack.sock, ${DIR}/tappd.sock; page: http://127.0.0.1:${port}/`);
console.error(`try: curl --unix-socket ${DIR}/dstack.sock 'http://dstack/GetKey?path=demo'`);
const child = spawn(BUN, [resolve('bin/dstack-util.ts'), 'serve'], {
  cwd: DIR,
  stdio: 'inherit',
});
for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
process.on('SIGINT', () => {}); // Ctrl-C reaches the agent itself, which stops gracefully
child.on('exit', (status) => {
  process.exitCode = status ?? 1;
});
