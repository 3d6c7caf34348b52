/** When `npm ci` runs: not for a lock file whose packages are there. A program called npm stands in for npm. */
import { execFile } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, it } from 'vitest';

const dir = mkdtempSync(join(tmpdir(), 'install-'));
afterAll(() => rmSync(dir, { recursive: true }));

const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin';

/** @returns what stands on stderr, and the words that npm was called with */
async function run(npm: string): Promise<{ status: number; stderr: string; calls: string }> {
  writeFileSync(join(dir, 'npm'), `#!/bin/sh\necho "$@" >> ${dir}/calls\n${npm}\n`);
  chmodSync(join(dir, 'npm'), 0o755);
  writeFileSync(join(dir, 'calls'), '');
  const env = { PATH: `${dir}:${process.env['PATH'] ?? ''}` };
  const done = await promisify(execFile)(process.execPath, ['scripts/run.mjs', 'build', '--help'], { cwd: dir, env })
    .then(({ stderr }) => ({ status: 0, stderr }))
    .catch(({ code, stderr }) => ({ status: Number(code), stderr: String(stderr) }));
  return { ...done, calls: readFileSync(join(dir, 'calls'), 'utf8') };
}

const lock = (packages: Record<string, object>) =>
  writeFileSync(join(dir, 'package-lock.json'), JSON.stringify({ packages: { '': {}, ...packages } }));

it('installs what is missing, and nothing twice', async () => {
  mkdirSync(join(dir, 'scripts'));
  copyFileSync('scripts/run.mjs', join(dir, 'scripts/run.mjs'));
  const a = { version: '1.0.0', integrity: 'sha512-a' };
  const other = { version: '1.0.0', integrity: 'sha512-mac', optional: true };
  lock({ 'node_modules/a': a, 'node_modules/mac': other });
  const fake = `mkdir -p ${BUN}; printf '#!/bin/sh\\n' > ${BUN}/bun; chmod +x ${BUN}/bun`;
  const record = (entry: object) =>
    `echo '${JSON.stringify({ packages: { 'node_modules/a': entry } })}' > node_modules/.package-lock.json`;
  const first = await run(`[ "$1" = ci ] || exit 0\n${fake}\n${record(a)}`);
  expect(first).toMatchObject({ status: 0, calls: expect.stringMatching(/^ping .*\nci .*--prefer-offline/) });
  expect((await run('exit 1')).calls).toBe('');
  // that a package became one of the product changes nothing of what is there
  lock({ 'node_modules/a': { ...a, dev: true }, 'node_modules/mac': other });
  expect((await run('exit 1')).calls).toBe('');
  lock({ 'node_modules/a': { ...a, integrity: 'sha512-b' } });
  expect((await run('echo "npm error code EAI_AGAIN" >&2; exit 1')).stderr).toContain(
    'error: no network: cannot reach the npm registry',
  );
  expect((await run('[ "$1" = ping ] && exit 0; echo why >&2; exit 7')).stderr).toMatch(
    /error: npm ci failed \(exit status 7\)\n {2}\| why\n$/,
  );
});
