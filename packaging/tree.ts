/** The tree that `npm run dist` packs: where each file goes below the root of a guest image. */
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { cliTree } from '../src/commands/cli-tree.ts';
import { bashCompletion, fishCompletion, zshCompletion } from '../src/commands/shell-completions.ts';
import { COMMANDS } from '../src/commands/table.ts';
import { manPages } from './man.ts';

/** Parts of the image's own overlay that belong to the program and not to one image's taste. */
const FROM_OVERLAY = [
  'usr/lib/systemd/system/app-compose.service',
  'usr/lib/systemd/system/dstack-boot-failed.service',
  'usr/lib/systemd/system/dstack-docker-view.service',
  'usr/lib/systemd/system/dstack-docker-view.socket',
  'usr/lib/systemd/system/dstack-gateway-checker.service',
  'usr/lib/systemd/system/dstack-modules.service',
  'usr/lib/systemd/system/dstack-guest-agent.service',
  'usr/lib/systemd/system/dstack-guest-agent.socket',
  'usr/lib/systemd/system/dstack-prepare.service',
  'usr/lib/systemd/system/containerd.service.d/10-dstack.conf',
  'usr/lib/systemd/system/docker.service.d/10-dstack.conf',
  'usr/lib/modules-load.d/dstack.conf',
  'usr/lib/sysctl.d/90-dstack.conf',
  'usr/lib/tmpfiles.d/dstack.conf',
];

export const OVERLAY = 'initramfs/overlay/common';
export const PRESET = 'usr/lib/systemd/system-preset/10-dstack.preset';

/** Enables our own units and says nothing about others: that is the image builder's decision. */
export function packagePreset(): string {
  const units = FROM_OVERLAY.filter((path) => /^usr\/lib\/systemd\/system\/[^/]+$/.test(path)).map((path) =>
    path.slice(path.lastIndexOf('/') + 1),
  );
  const lines = readFileSync(join(OVERLAY, PRESET), 'utf8').split('\n');
  const enabled = lines.filter((line) => units.some((unit) => line === `enable ${unit}`));
  return ['# Units of dstack-util. What else an image enables is for its builder to say.', ...enabled, ''].join('\n');
}

export interface TreeInput {
  readonly root: string;
  readonly binary: string;
  readonly version: string;
  /** `YYYY-MM-DD` */
  readonly date: string;
}

/** Fills `root` with everything except the checksums, the bill of materials and the installer. */
export async function makeTree({ root, binary, version, date }: TreeInput): Promise<void> {
  const put = (path: string, content: string | Uint8Array, mode = 0o644): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true, mode: 0o755 });
    writeFileSync(join(root, path), content, { mode });
  };
  put('usr/bin/dstack-util', readFileSync(binary), 0o755);
  symlinkSync('dstack-util', join(root, 'usr/bin/dstack-guest-agent'));
  for (const path of FROM_OVERLAY) put(path, readFileSync(join(OVERLAY, path)));
  put(PRESET, packagePreset());

  const tree = await cliTree(COMMANDS);
  for (const [name, page] of manPages(tree, { version, date })) {
    // a fixed header without a time: the same page always packs to the same bytes
    put(`usr/share/man/man1/${name}.gz`, gzipSync(page, { level: 9 }));
  }
  put('usr/share/bash-completion/completions/dstack-util', bashCompletion(tree));
  // the folder for packages in the search path of Debian's zsh
  put('usr/share/zsh/vendor-completions/_dstack-util', zshCompletion(tree));
  put('usr/share/fish/vendor_completions.d/dstack-util.fish', fishCompletion(tree));

  const docs = 'usr/share/doc/dstack-util';
  for (const name of ['LICENSE', 'CHANGELOG.md']) put(`${docs}/${name}`, readFileSync(name));
  for (const name of readdirSync('docs', { recursive: true, encoding: 'utf8' }).toSorted()) {
    // a page, a file that a page tells people to take, or a folder of which a page tells people to take everything
    const whole = name.startsWith('mkosi/') || name.startsWith('ci/');
    if (/\.(md|ya?ml|json|conf)$/.test(name) || (whole && statSync(`docs/${name}`).isFile()))
      put(`${docs}/${name}`, readFileSync(`docs/${name}`));
  }
}
