/**
 * docs/verification.md, gone through from top to bottom as a reader would: every block is run, in one folder, against an agent
 * with the quotes of a simulated machine and a small image, and prints what the page shows.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { demoAppComposeText } from '../../initramfs/demo/app-compose.ts';
import { toHex } from '../../src/codec/hex.ts';
import { folderOf, OTHER_KERNEL, vmConfigOf, writeImageFolder } from '../verify/system-fixture.ts';
import { codeBlocks, difference } from './code-blocks.ts';
import { type PageShell, pageShell } from './page-shell.ts';
import { type PaperGuest, startPaperGuest } from './paper-guest.ts';
import { PLAIN } from './plain-image.ts';

const PAGE = 'docs/verification.md';
const BLOCKS = codeBlocks(PAGE);

/** The reasons of the blocks that are not run, in their order. */
const NOT_RUN = ['builds a guest image, which takes minutes: test/vm'];

describe('the parts of a page', () => {
  it('are commands, outputs and notes', () => {
    const page = [
      '```\none \\\n  more\ntwo\n```',
      '<!-- not run: because -->\n```sh\nthree\n```',
      '```\n$ four \\\n    --five\nprinted\n\n$ six\n```',
      '<!-- output of: seven -->\n```\neight\n```',
    ].join('\n');
    expect(codeBlocks('x', page)).toEqual([
      { line: 1, steps: [{ command: 'one \\\n  more\ntwo' }] },
      { line: 7, notRun: 'because', steps: [{ command: 'three' }] },
      { line: 10, steps: [{ command: 'four \\\n    --five', output: 'printed' }, { command: 'six' }] },
      { line: 18, steps: [{ command: 'seven', output: '...\neight\n...' }] },
    ]);
  });

  it('are compared without what differs between two runs, and with everything else', () => {
    const printed = 'a  0123456789abcdef\nb 17 bytes\n\nc 2026-01-02T03:04:05.678Z\nd';
    expect(difference('a ffffffff…\nb 9 bytes c 2020-01-01T00:00:00Z\nd', printed)).toBeUndefined();
    expect(difference('a fedcba9876\n...', printed)).toBeUndefined();
    expect(difference('...\nc 2020-01-01T00:00:00Z\n...', printed)).toBeUndefined();
    expect(difference('...\nd', printed)).toBeUndefined();
    expect(difference('a ffffffff', printed)).toMatch(/^printed, not shown: b N bytes/);
    expect(difference('b 1 bytes\n...', printed)).toContain('shown:   b N bytes');
    expect(difference('a ffffffff\n...\nc x\n...', printed)).toMatch(/^shown: {3}c x\nprinted: b N bytes/);
    expect(difference('...\nb 1 bytes\n...\na ffffffff\n...', printed)).toMatch(/^shown: {3}a HEX/);
    expect(difference('a ffffffff\n...\nb 1', printed)).toBeDefined();
  });
});

describe.sequential(PAGE, () => {
  let root: string;
  let guest: PaperGuest;
  let shell: PageShell;

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'page-'));
    const compose = demoAppComposeText();
    guest = await startPaperGuest(join(root, 'guest'), compose);
    shell = pageShell(root, {
      '/run/dstack.sock': guest.socket,
      HASH: toHex(folderOf(PLAIN).osImageHash ?? new Uint8Array()),
    });
    // what the reader has already: the app's document and the image that the first block builds
    writeFileSync(join(shell.dir, 'app-compose.json'), compose);
    writeFileSync(join(shell.dir, 'vm.json'), JSON.stringify(vmConfigOf(PLAIN)));
    writeFileSync(join(shell.dir, 'other-compose.json'), demoAppComposeText({ name: 'other' }));
    writeImageFolder(join(shell.dir, 'image'), { ...PLAIN, kernel: OTHER_KERNEL });
    for (const folder of ['.cache/images/KEY', '.']) writeImageFolder(join(shell.dir, folder), PLAIN);
    const made = await shell.run(`dstack-sim root-ca --out ${root}/sim-root.pem
      dstack-sim collateral --out ${root}/collateral.json`);
    expect(made.status, made.text).toBe(0);
  }, 120_000);
  afterAll(async () => {
    await guest?.stop();
    rmSync(root, { recursive: true, force: true });
  });

  it('says why a block is not run, and this is all of them', () => {
    expect(BLOCKS.length).toBeGreaterThan(8);
    expect(BLOCKS.flatMap(({ notRun }) => notRun ?? [])).toEqual(NOT_RUN);
  });

  for (const { line, steps } of BLOCKS.filter(({ notRun }) => notRun === undefined))
    for (const { command, output } of steps)
      it(`line ${line}: ${command.split('\n')[0]}`, async () => {
        const { status, text } = await shell.run(command);
        // a command that fails is shown with its error
        if (/^error \[/m.test(text)) expect(output, `${command}\n${text}`).toMatch(/^ *(error \[|FAIL )/m);
        else expect(status, `${command}\n${text}`).toBe(0);
        if (output !== undefined) expect(difference(output, text), `${command}\n${text}`).toBeUndefined();
      }, 180_000);
});
