/** Signed archives, judged by minisign itself; with a small file in place of the binary. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasDpkgDeb } from '../../packaging/deb.ts';
import { checkSigning } from '../../packaging/sign.ts';

const BUN = resolve('node_modules/@oven/bun-linux-x64-baseline/bin/bun');
const there = spawnSync('minisign', ['-v']).error === undefined;
const PASSWORD = 'a word of the test';

let dir: string;
const at = (name: string) => join(dir, name);
const minisign = (args: readonly string[], input = '') =>
  spawnSync('minisign', args, { input, encoding: 'utf8', cwd: dir, timeout: 60_000 });

/** Packs into a folder, in a process of its own, because minisign reads the password from that process's input. */
function pack(out: string, key: string | undefined, input = '') {
  mkdirSync(at(out), { recursive: true });
  const release = {
    binary: at('binary'),
    out: at(out),
    version: '1.2.3',
    revision: 'git:abc',
    modified: false,
    epoch: 1_700_000_000,
    keyFile: key === undefined ? undefined : at(key),
  };
  const script = `
    import { packRelease } from ${JSON.stringify(resolve('packaging/release.ts'))};
    const lock = await Bun.file('package-lock.json').json();
    await packRelease({ ...${JSON.stringify(release)}, lock }).catch((e) => { console.error(e.message); process.exit(1); });`;
  return spawnSync(BUN, ['-e', script], { input, encoding: 'utf8', timeout: 120_000 });
}

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'sign-'));
  writeFileSync(at('binary'), '#!/bin/sh\n');
});
afterAll(() => rmSync(dir, { recursive: true }));

describe.skipIf(!there)('a signed archive', { timeout: 120_000 }, () => {
  const archive = 'dstack-util-1.2.3.tar.gz';
  const files = [archive, ...(hasDpkgDeb() ? ['dstack-util_1.2.3-1_amd64.deb'] : [])];
  const verify = (path: string, key = 'open.pub') => minisign(['-Vm', at(path), '-p', at(key)]);

  beforeAll(() => {
    // -W: without a password, as a key for a machine that builds alone
    expect(minisign(['-GW', '-p', 'open.pub', '-s', 'open.key']).status).toBe(0);
    expect(minisign(['-G', '-p', 'locked.pub', '-s', 'locked.key'], `${PASSWORD}\n${PASSWORD}\n`).status).toBe(0);
    expect(pack('signed', 'open.key')).toMatchObject({ status: 0 });
  }, 120_000);

  it('is accepted with the public key that belongs to it, and says which version it is', () => {
    for (const file of files) {
      const done = verify(`signed/${file}`);
      expect(done.status, done.stderr).toBe(0);
      expect(done.stdout).toContain('Trusted comment: dstack-util 1.2.3 git:abc\n');
      expect(verify(`signed/${file}`, 'locked.pub').status).toBe(1);
    }
    const expected = files.flatMap((file) => [file, `${file}.minisig`, `${file}.sha256`]);
    expect(readdirSync(at('signed')).toSorted()).toEqual(expected.toSorted());
  });

  it('is refused when one byte of it, or of what is signed beside it, is another', () => {
    const path = `signed/${archive}`;
    for (const [name, index] of [
      [path, 1000],
      [`${path}.minisig`, readFileSync(at(`${path}.minisig`)).indexOf('1.2.3')],
    ] as const) {
      const bytes = readFileSync(at(name));
      const spoiled = Buffer.from(bytes);
      spoiled[index] = bytes[index]! ^ 1;
      writeFileSync(at(name), spoiled);
      expect(verify(path).status).toBe(1);
      writeFileSync(at(name), bytes);
    }
    expect(verify(path).status).toBe(0);
  });

  it('has the same bytes and the same signature again', () => {
    expect(pack('again', 'open.key').status).toBe(0);
    for (const name of readdirSync(at('signed')))
      expect(readFileSync(at(`again/${name}`)).equals(readFileSync(at(`signed/${name}`))), name).toBe(true);
  }, 120_000);

  it('takes the password of the key from standard input, and leaves nothing behind after a wrong one', () => {
    const refused = pack('locked', 'locked.key', 'another word\n');
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/Wrong password[\s\S]*minisign did not sign \(exit status \d+\)/);
    expect(readdirSync(at('locked'))).toEqual([]);
    const done = pack('locked', 'locked.key', `${PASSWORD}\n`);
    expect(done.status, done.stderr).toBe(0);
    expect(verify(`locked/${archive}`, 'locked.pub').status).toBe(0);
    expect(done.stdout + done.stderr).not.toContain(PASSWORD);
  }, 120_000);

  it('replaces the signature of an earlier archive, or removes it', () => {
    expect(pack('again', undefined).status).toBe(0);
    expect(readdirSync(at('again')).filter((name) => name.endsWith('.minisig'))).toEqual([]);
  }, 120_000);

  it.each([
    ['does not exist', 'nowhere.key', /does not exist\n {2}hint: minisign -G/],
    ['is the public one', 'open.pub', /is a public key/],
    ['is something else', 'binary', /is not a secret key of minisign/],
    ['is a folder', 'signed', /is not a regular file/],
  ])('is not begun with a key file that %s', (_, name, said) => {
    if (existsSync(at(name))) chmodSync(at(name), name === 'signed' ? 0o700 : 0o600);
    expect(() => checkSigning(at(name))).toThrow(said);
  });

  it('is not begun with a key that others may read', () => {
    chmodSync(at('open.key'), 0o640);
    expect(() => checkSigning(at('open.key'))).toThrow(/others may read .*\n {2}hint: chmod 600/);
    chmodSync(at('open.key'), 0o600);
    expect(() => checkSigning(at('open.key'))).not.toThrow();
  });
});

it('npm run dist -- --sign says what is wrong in one line before it builds', () => {
  const dist = (env: NodeJS.ProcessEnv) =>
    spawnSync(BUN, ['scripts/dist.ts', '--sign', at('nowhere.key')], { encoding: 'utf8', timeout: 60_000, env });
  // a path without minisign, which may not be installed here either
  expect(dist({ PATH: dir })).toMatchObject({
    status: 1,
    stdout: '',
    stderr: 'error: minisign is not installed\n  hint: apt-get install minisign\n',
  });
  if (!there) return;
  const missing = dist(process.env);
  expect(missing.status).toBe(1);
  expect(missing.stderr).toMatch(/^error: the key file .* does not exist\n {2}hint: [^\n]*\n$/);
}, 120_000);
