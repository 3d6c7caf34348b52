/** The mkosi drop-in names what the archive and the project's own image contain. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { HOST_CLOSED } from '../../initramfs/lib/cmdline.ts';
import { makeTree, OVERLAY, PRESET } from '../../packaging/tree.ts';
import type { GuestMachine } from '../../src/boot/doctor/guest-machine.ts';
import { hostInputs } from '../../src/boot/doctor/host-inputs.ts';

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

  it('puts what closes the host out on the kernel command line, and the doctor agrees', async () => {
    const block = /\nKernelCommandLine=\n((?: {8}.+\n)+)/.exec(conf)?.[1] ?? '';
    const words = block.trim().split(/\s+/);
    expect(words).toEqual(expect.arrayContaining([...HOST_CLOSED]));
    // every generator of Debian's systemd is there, none is masked
    const guest: Partial<GuestMachine> = {
      text: async (path) => (path === '/proc/cmdline' ? `${words.join(' ')}\n` : undefined),
      names: async () => [],
      target: async (path) => (path.startsWith('/usr/lib/systemd/system-generators/') ? path : undefined),
      look: async () => ({ exit: 0, stdout: '', stderr: '' }),
    };
    expect(await hostInputs(guest as GuestMachine)).toMatchObject([{ status: 'ok' }]);
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

  it.each(['usr/lib/systemd/network/20-dstack.network', 'etc/chrony/chrony.conf'])(
    'configures network and clock as the image does: %s',
    (path) => {
      expect(readFileSync(`${DIR}/mkosi.extra/${path}`, 'utf8')).toBe(readFileSync(join(OVERLAY, path), 'utf8'));
    },
  );
});
