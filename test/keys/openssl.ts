/** Debian's openssl as a second opinion on certificates. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

export function openssl(args: readonly string[], input = ''): string {
  return execFileSync('openssl', args, { encoding: 'utf8', input, stdio: ['pipe', 'pipe', 'pipe'] });
}

export const certificateText = (pem: string): string => openssl(['x509', '-noout', '-text'], pem);

/** What `openssl verify` says of a chain: `OK`, or its words on why not. */
export function opensslVerify(
  chain: readonly string[],
  options: { readonly root: string; readonly args?: readonly string[] },
): string {
  const dir = mkdtempSync(join(tmpdir(), 'dstack-openssl-'));
  try {
    const [leaf = '', ...others] = chain;
    writeFileSync(join(dir, 'root.pem'), options.root);
    writeFileSync(join(dir, 'others.pem'), others.join(''));
    writeFileSync(join(dir, 'leaf.pem'), leaf);
    const untrusted = others.length > 0 ? ['-untrusted', 'others.pem'] : [];
    const args = ['verify', '-CAfile', 'root.pem', ...untrusted, ...(options.args ?? []), 'leaf.pem'];
    const { status, stdout, stderr } = spawnSync('openssl', args, { cwd: dir, encoding: 'utf8' });
    return status === 0 ? stdout.trim().replace('leaf.pem: ', '') : stderr;
  } finally {
    rmSync(dir, { recursive: true });
  }
}
