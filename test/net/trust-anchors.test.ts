import { chmod, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { mockPki, pemChain } from '../../simulator/pki.ts';
import { publishedTdxRoot } from '../../src/net/trust-anchors.ts';

const PKI = mockPki(new Uint8Array(32).fill(0x31));
let parent: string;
let dir: string;
const at = (name: string) => join(dir, name);

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'anchors-'));
  dir = join(parent, 'attestation');
  await mkdir(dir, { mode: 0o700 });
  await writeFile(at('tdx-root-ca.pem'), pemChain(PKI.root), { mode: 0o600 });
  await writeFile(at('roots.json'), JSON.stringify({ tdx: at('tdx-root-ca.pem') }), { mode: 0o600 });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(parent, { recursive: true });
});

const refused = () => expect(publishedTdxRoot(dir)).rejects.toMatchObject({ code: 'TRUST_ANCHORS_INVALID' });

describe('published roots', () => {
  it('replace the root of Intel', async () => {
    expect(await publishedTdxRoot(dir)).toEqual(PKI.root);
  });

  it('are not there in a production VM', async () => {
    expect(await publishedTdxRoot(join(parent, 'nothing'))).toBeUndefined();
    await rm(at('roots.json'));
    expect(await publishedTdxRoot(dir)).toBeUndefined();
  });

  it.each(['roots.json', 'tdx-root-ca.pem', '.'])('are refused when %s may be written by others', async (name) => {
    for (const mode of [0o720, 0o702, 0o777]) {
      await chmod(at(name), mode);
      await refused();
    }
  });

  it.each(['roots.json', 'tdx-root-ca.pem'])('are refused when %s is a link', async (name) => {
    await rename(at(name), join(parent, name));
    await symlink(join(parent, name), at(name));
    await refused();
  });

  it('are refused when the folder is a link', async () => {
    await rename(dir, join(parent, 'real'));
    await symlink(join(parent, 'real'), dir);
    await refused();
  });

  it('are refused when they belong to somebody else', async () => {
    vi.spyOn(process as { geteuid(): number }, 'geteuid').mockReturnValue(54_321);
    await refused();
  });

  it.each([
    ['another folder', () => ({ tdx: join(parent, 'tdx-root-ca.pem') })],
    ['a way out of the folder', () => ({ tdx: `${dir}/../attestation/tdx-root-ca.pem` })],
    ['a relative path', () => ({ tdx: 'tdx-root-ca.pem' })],
    ['a missing file', () => ({ tdx: at('other.pem') })],
    ['no path', () => ({ gcp_tdx: at('tdx-root-ca.pem') })],
    ['something else', () => ['tdx']],
  ])('are refused when the list names %s', async (_, list) => {
    await writeFile(at('roots.json'), JSON.stringify(list()));
    await refused();
  });

  it('are refused when a file is damaged', async () => {
    await writeFile(at('tdx-root-ca.pem'), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    await refused();
    await writeFile(at('roots.json'), '{');
    await refused();
    await writeFile(at('roots.json'), Buffer.alloc(100_000, 0x20));
    await refused();
  });
});
