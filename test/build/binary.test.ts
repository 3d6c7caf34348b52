/** What is true of the built artefacts themselves; `npm test` builds them before the unit tests run. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const UTIL = resolve('dist/dstack-util');
const SIM = resolve('dist/dstack-sim');
const built = existsSync(UTIL) && existsSync(SIM);
const utilBytes = () => readFileSync(UTIL);

describe.skipIf(!built)('the compiled binary', () => {
  it('prints its version and revision', () => {
    const done = spawnSync(UTIL, ['--version'], { encoding: 'utf8' });
    expect(done.stdout).toMatch(/^v\d+\.\d+\.\d+ \((git:[0-9a-f]{20}(-modified)?|unknown)\)\n$/);
    expect(done.status).toBe(0);
  });

  it('is the guest agent when it is called by that name', () => {
    const link = join(mkdtempSync(join(tmpdir(), 'name-')), 'dstack-guest-agent');
    symlinkSync(UTIL, link);
    const done = spawnSync(link, ['--help'], { encoding: 'utf8' });
    expect(done.stdout).toContain('--watchdog');
    expect(spawnSync(link, ['--version'], { encoding: 'utf8' }).stdout).toMatch(/^v\d/);
  });

  it('contains no simulator', () => {
    // words that only the quoting enclave has; found in dstack-sim by the same search, which proves the search
    const words = ['dstack_tdx_qe', 'Mock Intel SGX Root CA', 'dstack-mock-p256-v1'];
    const has = (bytes: Buffer, word: string) =>
      bytes.includes(word, 0, 'latin1') || bytes.includes(word, 0, 'utf16le');
    const sim = readFileSync(SIM);
    expect(words.filter((word) => !has(sim, word))).toEqual([]);
    expect(words.filter((word) => has(utilBytes(), word))).toEqual([]);
  });

  it('loads neither .env nor bunfig.toml of the working directory', () => {
    const folder = mkdtempSync(join(tmpdir(), 'cwd-'));
    writeFileSync(join(folder, '.env'), 'DSTACK_LOG=debug\n');
    writeFileSync(join(folder, 'bunfig.toml'), 'preload = ["./evil.ts"]\n');
    writeFileSync(join(folder, 'evil.ts'), 'console.log("evil ran")\n');
    const done = spawnSync(UTIL, ['rand', '-x', '-n', '4'], { cwd: folder, encoding: 'utf8' });
    expect(done.stdout).toMatch(/^[0-9a-f]{8}$/);
    expect(done.stderr).toBe('');
  });

  it('runs from a copy in another place, alone', () => {
    const copy = join(mkdtempSync(join(tmpdir(), 'copy-')), 'x');
    copyFileSync(UTIL, copy);
    const done = spawnSync(copy, ['hex'], { input: Buffer.from([0, 255]), encoding: 'utf8', cwd: '/' });
    expect(done.stdout).toBe('00ff');
  });
});
