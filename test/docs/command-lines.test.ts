/**
 * Every command line that README and docs show: run here, in a folder of its own, or named below with the reason why not
 * and with what covers it. The options of those that are not run are looked up in the program's own help.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { demoAppCompose, demoAppComposeText } from '../../initramfs/demo/app-compose.ts';
import { fullLogJson } from '../../src/tdx/log-json.ts';
import { FILES, fromImage, logOf, vmConfigOf, writeImageFolder } from '../verify/system-fixture.ts';
import { type CommandLine, commandLines } from './command-lines.ts';

const PAGES = [
  'README.md',
  'CONTRIBUTING.md',
  'initramfs/README.md',
  'docs/mkosi/README.md',
  'docs/observability/README.md',
  ...readdirSync('docs')
    // verification.md is run whole, with what it prints: verification-page.test.ts
    .filter((name) => name.endsWith('.md') && name !== 'verification.md')
    .map((name) => `docs/${name}`),
];
const LINES = PAGES.flatMap((page) => commandLines(page));

/** Run here. A page's lines run in their order in one folder, because one makes what the next one reads. */
const RUN = [
  /^dstack-util gen-app-keys /,
  /^dstack-util derive-key /,
  /^dstack-util measure /,
  /^dstack-util app (init|check|hash) /,
  /^dstack-util setup --plan$/,
];

/** Not run here, and why. */
const ELSEWHERE: [pattern: RegExp, why: string][] = [
  [/^npm start/, 'boots a virtual machine: test/vm/ext4 and kms do the same'],
  [/^npm test/, 'is what runs this test'],
  [/^npm run (build|image)/, 'compiles and builds images: the first steps of npm test, and test/vm'],
  [/^npm run (bench|fuzz|dist|simulator|fault)/, 'takes minutes; what it calls has tests of its own'],
  [/^npx (biome|vitest) /, 'formats this folder, or runs tests inside tests; both are steps of npm test'],
  [
    /^dstack-util (prepare|setup|deploy|serve|fde|quote|doctor|timeline|show|replay-imr|eventlog|attest|attest-info|gateway-refresh|boot-failed)\b/,
    'needs a guest: test/vm',
  ],
  [/^dstack-util (measure|verify init)$/, 'a list of names: the page behind it is run'],
  [/^dstack-util verify FILE/, 'a word to replace: test/verify'],
  [/^dstack-sim (kms|gateway) /, 'a server, with words to replace: test/simulator and test/vm/kms'],
  [/^curl /, 'asks a running guest: test/vm'],
  [/^(wg|iptables|journalctl|systemctl|docker) /, 'looks at a running guest'],
  [/^(tar|unsquashfs|mksquashfs|veritysetup|\S*install\.sh) /, 'works on an archive or image: test/packaging/install'],
  [/^minisign /, 'asks for a password, or needs a release: test/packaging/sign'],
  [/^apt-get install \.\/dstack-util_/, 'changes this machine: test/packaging/deb'],
  [/^mkosi/, 'another builder: test/packaging/mkosi'],
  [/^promtool/, 'test/house/observability'],
];

/** An image under the names that the pages use, its measurement document, and the shape and log of a VM of it. */
function writeSystem(dir: string): void {
  for (const name of ['DIR', '.cache/images/KEY', '.']) writeImageFolder(join(dir, name), FILES);
  writeFileSync(join(dir, 'vm.json'), JSON.stringify(vmConfigOf(FILES)));
  writeFileSync(join(dir, 'log.json'), JSON.stringify(fullLogJson(logOf(fromImage(FILES)))));
}

const shown = ({ page, line, text }: CommandLine) => `${page}:${line}: ${text}`;
const runs = ({ text }: CommandLine) => RUN.some((pattern) => pattern.test(text));

let bin: string;
beforeAll(() => {
  bin = mkdtempSync(join(tmpdir(), 'docs-bin-'));
  const bun = resolve('node_modules/@oven/bun-linux-x64-baseline/bin/bun');
  for (const [name, entry] of [
    ['dstack-util', 'bin/dstack-util.ts'],
    ['dstack-sim', 'simulator/dstack-sim.ts'],
  ] as const) {
    writeFileSync(join(bin, name), `#!/bin/sh\nexec '${bun}' '${resolve(entry)}' "$@"\n`);
    chmodSync(join(bin, name), 0o755);
  }
});
afterAll(() => rmSync(bin, { recursive: true, force: true }));

const shell = (script: string, cwd: string) =>
  spawnSync('bash', ['-euc', script], {
    cwd,
    encoding: 'utf8',
    timeout: 60_000,
    env: { PATH: `${bin}:/usr/bin:/bin`, HOME: cwd, NO_COLOR: '1' },
  });

describe('command lines in the documentation', () => {
  it('are found', () => {
    expect(LINES.length).toBeGreaterThan(50);
    expect(
      commandLines('x', '```\n$ dstack-util verify a \\\n    --json   # why\n```\n    npm test  all of it\ntext'),
    ).toEqual([
      { page: 'x', line: 2, text: 'dstack-util verify a --json' },
      { page: 'x', line: 5, text: 'npm test' },
    ]);
  });

  it('are run here or somewhere that is named', () => {
    const forgotten = LINES.filter((it) => !runs(it) && !ELSEWHERE.some(([pattern]) => pattern.test(it.text)));
    expect(forgotten.map(shown)).toEqual([]);
  });

  it('call npm scripts that there are', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
    const unknown = LINES.filter(({ text }) => {
      const [, script] = /^npm (?:run )?(\w+)/.exec(text) ?? [];
      return script !== undefined && scripts[script] === undefined;
    });
    expect(unknown.map(shown)).toEqual([]);
  });

  const withOptions = LINES.filter((it) => !runs(it) && /^dstack-util .*--\w/.test(it.text));
  it.each(withOptions.map((it) => [shown(it), it.text]))('%s has options that the help knows', (_, text) => {
    const words = text.split(/\s+/).slice(1);
    const [command = '', second = ''] = words;
    const sub =
      /^[a-z]/.test(second) && (['deploy', 'fde', 'env'].includes(command) || second === 'init')
        ? [command, second]
        : [command];
    const { stdout } = shell(`dstack-util ${sub.join(' ')} --help`, bin);
    for (const option of words.filter((word) => word.startsWith('--'))) expect(stdout).toContain(option.split('=')[0]);
  });

  const pages = [...new Set(LINES.filter(runs).map(({ page }) => page))];
  it.each(pages)(
    'of %s work',
    (page) => {
      const dir = mkdtempSync(join(tmpdir(), 'docs-run-'));
      try {
        writeFileSync(join(dir, 'app-compose.json'), demoAppComposeText());
        writeFileSync(join(dir, 'docker-compose.yaml'), String(demoAppCompose()['docker_compose_file']));
        shell('dstack-util measure app-compose.json --json >predicted.json', dir);
        writeSystem(dir);
        // what makes files comes before what reads them, wherever the page explains it
        const lines = LINES.filter((it) => it.page === page && runs(it)).toSorted(
          (a, b) => Number(b.text.startsWith('dstack-sim')) - Number(a.text.startsWith('dstack-sim')),
        );
        for (const line of lines) {
          const { status, stdout, stderr } = shell(line.text, dir);
          expect(status, `${shown(line)}\n${stdout}${stderr}`).toBe(0);
        }
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    },
    120_000,
  );
});
