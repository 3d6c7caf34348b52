import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { cliTree } from '../../packaging/cli-tree.ts';
import { manPages, text } from '../../packaging/man.ts';

const OPTIONS = { version: '1.2.3', date: '2026-01-02' };
const hasGroff = spawnSync('groff', ['--version']).status === 0;

describe('manual pages', () => {
  it('there is one for the program, one a command, and one for the agent by its other name', async () => {
    const tree = await cliTree();
    const names = [...manPages(tree, OPTIONS).keys()];
    expect(names).toEqual(
      expect.arrayContaining([
        'dstack-util.1',
        'dstack-guest-agent.1',
        ...tree.map((it) => `dstack-util-${it.name}.1`),
      ]),
    );
    expect(names).toHaveLength(tree.length + 2);
  });

  it('name every option of the command', async () => {
    const tree = await cliTree();
    const pages = manPages(tree, OPTIONS);
    for (const command of tree) {
      const page = pages.get(`dstack-util-${command.name}.1`) ?? '';
      const lowest = command.commands.length > 0 ? command.commands : [command];
      for (const { flags } of lowest.flatMap(({ options }) => options)) expect(page).toContain(`.B ${text(flags)}\n`);
    }
  });

  it('print text as it is: hyphens, backslashes, and a line that begins like a request', () => {
    expect(text('a-b \\ c')).toBe('a\\-b \\e c');
    expect(text('.so /etc/passwd')).toBe('\\&.so /etc/passwd');
    expect(text("'quoted'")).toBe("\\&'quoted'");
    expect(text('app’s 🔑')).toBe('app\\[u2019]s \\[u1F511]');
  });

  it.skipIf(!hasGroff)('are accepted by groff without a warning', async () => {
    for (const [name, page] of manPages(await cliTree(), OPTIONS)) {
      if (page.startsWith('.so ')) continue;
      const done = spawnSync('groff', ['-man', '-ww', '-z'], { input: page, encoding: 'utf8' });
      expect(done.stderr, name).toBe('');
    }
  });
});
