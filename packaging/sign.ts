/**
 * Signatures of what `npm run dist` makes, by minisign: the program asks for the password of the key itself, on its
 * terminal or from standard input, so that this code never sees it.
 */
import { spawnSync } from 'node:child_process';
import { lstatSync, readFileSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';

/** A secret key file has two lines: a comment, and 158 bytes that begin with the signature's algorithm. */
const SECRET_KEY_BYTES = 158;
const PUBLIC_KEY_BYTES = 42;

/**
 * What can be known before anything is built: the program is there, and the file is a secret key that only its owner can
 * read. Whether the password is right shows when it signs.
 * @throws Error with one line and a hint
 */
export function checkSigning(keyFile: string): void {
  const probe = spawnSync('minisign', ['-v'], { stdio: 'ignore' });
  if (probe.error) throw new Error('minisign is not installed\n  hint: apt-get install minisign');
  const info = lstatSync(keyFile, { throwIfNoEntry: false });
  if (info === undefined)
    throw new Error(`the key file ${keyFile} does not exist\n  hint: minisign -G -s ${keyFile} makes one`);
  if (!info.isFile()) throw new Error(`the key file ${keyFile} is not a regular file`);
  if ((info.mode & 0o077) !== 0)
    throw new Error(`others may read the key file ${keyFile}\n  hint: chmod 600 ${keyFile}`);
  const size = info.size > 4096 ? 0 : keyBytes(readFileSync(keyFile, 'utf8'));
  if (size === PUBLIC_KEY_BYTES)
    throw new Error(`${keyFile} is a public key\n  hint: give the secret key that was made with it`);
  if (size !== SECRET_KEY_BYTES) throw new Error(`${keyFile} is not a secret key of minisign`);
}

/** Length of what stands in the second line, 0 if that is not a key at all. */
function keyBytes(text: string): number {
  const [comment = '', key = ''] = text.split('\n');
  const bytes = Buffer.from(key, 'base64');
  return comment.startsWith('untrusted comment:') && bytes.subarray(0, 2).toString() === 'Ed' ? bytes.length : 0;
}

/**
 * Writes `FILE.minisig` beside each file. The same key, files and comment give the same bytes.
 * @param comment one line that is signed with each file
 * @throws Error when minisign refuses, a wrong password for example; then none of the signatures is left
 */
export function sign(files: readonly string[], keyFile: string, comment: string): string[] {
  const signatures = files.map((file) => `${file}.minisig`);
  const args = ['-S', '-s', resolve(keyFile), '-t', comment, '-m', ...files.map((file) => resolve(file))];
  const done = spawnSync('minisign', args, { stdio: ['inherit', 2, 2] });
  if (done.status === 0) return signatures;
  for (const file of signatures) rmSync(file, { force: true });
  throw new Error(`minisign did not sign (${done.error?.message ?? `exit status ${done.status}`})`);
}
