/** The mkosi drop-in names what the archive and the project's own image contain. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeTree, OVERLAY, PRESET } from '../../packaging/tree.ts';

const DIR = 'docs/mkosi';
const conf = readFileSync(`${DIR}/mkosi.conf.d/50-dstack-util.conf`, 'utf8');
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
const enabled = (text: string): string[] =>
  text.split('\n').flatMap((line) => (line.startsWith('enable ') ? [line.slice('enable '.length)] : []));

describe('mkosi drop-in', () => {
  it('names the extra tree as the archive unpacks', () => {
    expect(conf).toContain(`\nExtraTrees=dstack-util-${version}/tree\n`);
    expect(readFileSync(`${DIR}/README.md`, 'utf8')).toContain(`dist/dstack-util-${version}.tar.gz`);
    expect(readFileSync('docs/image-builders.md', 'utf8')).toContain(`tar -xzf dstack-util-${version}.tar.gz`);
  });

  it('installs the packages of the image', () => {
    const list = readFileSync('initramfs/packages/common.list', 'utf8').split('\n');
    const wanted = list.filter((line) => line !== '' && !line.startsWith('#'));
    const block = /\nPackages=\n((?: {8}.+\n)+)/.exec(conf)?.[1] ?? '';
    expect(block.trim().split(/\s+/)).toEqual(wanted);
  });

  it('enables, together with the tree, exactly what the image enables', async () => {
    const root = mkdtempSync(join(tmpdir(), 'mkosi-'));
    writeFileSync(join(root, 'binary'), '');
    await makeTree({ root: join(root, 'tree'), binary: join(root, 'binary'), version, date: '2026-01-02' });
    const units = readdirSync(join(root, 'tree/usr/lib/systemd/system'));
    const own = enabled(readFileSync(join(root, 'tree', PRESET), 'utf8'));
    rmSync(root, { recursive: true });
    for (const unit of own) expect(units).toContain(unit);
    const image = readFileSync(`${DIR}/mkosi.extra/usr/lib/systemd/system-preset/20-image.preset`, 'utf8');
    expect([...own, ...enabled(image)].toSorted()).toEqual(
      enabled(readFileSync(join(OVERLAY, PRESET), 'utf8')).toSorted(),
    );
    expect(image).toMatch(/\ndisable \*\n$/);
  });

  it('configures the network as the image does', () => {
    const path = 'usr/lib/systemd/network/20-dstack.network';
    expect(readFileSync(`${DIR}/mkosi.extra/${path}`, 'utf8')).toBe(readFileSync(join(OVERLAY, path), 'utf8'));
  });
});
