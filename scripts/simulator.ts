/**
 * `npm run simulator`: the guest agent on a canned attestation, for people who only want the sockets. Files are made once
 * by dstack-sim under .cache/simulator; the agent then listens there on dstack.sock, tappd.sock and on 127.0.0.1:8090.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { $ } from 'zx';
import { claim } from '../initramfs/vm/claim.ts';
import { whoHolds } from '../initramfs/vm/port-holder.ts';
import { isFree } from '../initramfs/vm/ports.ts';
import { packageVersion, revision, versionDefines } from './lib/revision.ts';
import { npmScript, runScript, wholeNumber } from './lib/script.ts';

const BUN = resolve('node_modules/@oven/bun-linux-x64-baseline/bin/bun');
const DIR = '.cache/simulator';

async function simulator({ port }: { port: number }): Promise<void> {
  const release = claim(DIR, 'a simulator');
  process.on('exit', release);
  if (!(await isFree(port))) {
    throw new Error(
      `port ${port} of 127.0.0.1 is taken by ${whoHolds(port)}\n  hint: choose another one: npm run simulator -- --port N`,
    );
  }
  if (!existsSync(`${DIR}/dstack.toml`)) {
    console.error(`making the canned attestation in ${DIR}`);
    mkdirSync(DIR, { recursive: true });
    await $({ quiet: true })`${BUN} simulator/dstack-sim.ts attestation --out ${DIR}`;
  }
  // dstack.toml keeps to unix sockets; a second layer puts the page where a browser finds it
  writeFileSync(`${DIR}/dstack.json`, JSON.stringify({ external: { address: '127.0.0.1', port } }));
  console.error(`sockets: ${DIR}/dstack.sock, ${DIR}/tappd.sock; page: http://127.0.0.1:${port}/`);
  console.error(`try: curl --unix-socket ${DIR}/dstack.sock 'http://dstack/GetKey?path=demo'`);
  console.error('not here: EmitEvent, because the canned evidence is of a boot that is over; npm start has it');
  const version = versionDefines(packageVersion(), await revision());
  const child = spawn(BUN, [...version, resolve('bin/dstack-util.ts'), 'serve'], { cwd: DIR, stdio: 'inherit' });
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  process.on('SIGINT', () => {}); // Ctrl-C reaches the agent itself, which stops gracefully
  child.on('exit', (status) => {
    process.exitCode = status ?? 1;
  });
}

await runScript(
  npmScript('simulator', 'run the guest agent on a canned attestation: only its sockets and its page, without a VM')
    .option('--port <number>', 'port of the page on 127.0.0.1', wholeNumber(1, 65535), 8090)
    .action(simulator),
);
