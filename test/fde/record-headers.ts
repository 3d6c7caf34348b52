/**
 * Records the header that the cryptsetup of this machine makes with the documented parameters, for real-headers.json:
 * `bun test/fde/record-headers.ts [command]`. Both copies, without the key slot; gzip and base64.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const command = process.argv.slice(2);
const [program = 'cryptsetup', ...prefix] = command;
const dir = mkdtempSync(join(tmpdir(), 'headers-'));
const image = join(dir, 'image');
const cryptsetup = (...args: string[]): string =>
  execFileSync(program, [...prefix, ...args], { input: '07'.repeat(32), encoding: 'utf8' });
try {
  writeFileSync(image, '');
  truncateSync(image, 24 * 1024 * 1024);
  const documented = ['--type', 'luks2', '--offset', '32768', '--cipher', 'aes-xts-plain64', '--pbkdf', 'pbkdf2'];
  // the count is free, and the default takes two seconds; the sectors are those that a virtual disk would get
  const quick = ['--pbkdf-force-iterations', '1000', '--sector-size', '512'];
  cryptsetup('luksFormat', '-q', ...documented, ...quick, '-d-', image);
  const version = cryptsetup('--version').trim().split(' ')[1] ?? '';
  const header = gzipSync(readFileSync(image).subarray(0, 32_768), { level: 9 }).toString('base64');
  console.log(JSON.stringify({ version, header }));
} finally {
  rmSync(dir, { recursive: true });
}
