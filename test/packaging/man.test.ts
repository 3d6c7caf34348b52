import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { manPages, text } from '../../packaging/man.ts';
import { cliTree } from '../../src/commands/cli-tree.ts';
import { COMMANDS } from '../../src/commands/table.ts';

const OPTIONS = { version: '1.2.3', date: '2026-01-02' };
const hasGroff = spawnSync('groff', ['--version']).status === 0;

describe('manual pages', () => {
  it('there is one for the program, one a command, and one for the agent by its other name', async () => {
    const tree = await cliTree(COMMANDS);
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
    const tree = await cliTree(COMMANDS);
    const pages = manPages(tree, OPTIONS);
    for (const command of tree) {
      const page = pages.get(`dstack-util-${command.name}.1`) ?? '';
      const lowest = command.commands.length > 0 ? command.commands : [command];
      for (const { flags } of lowest.flatMap(({ options }) => options)) expect(page).toContain(`.B ${text(flags)}\n`);
    }
  });

  it('say what --help says behind the options, and the exit status of the command itself', async () => {
    const pages = manPages(await cliTree(COMMANDS), OPTIONS);
    const verify = pages.get('dstack-util-verify.1') ?? '';
    const status = verify.slice(verify.indexOf('.SH EXIT STATUS'), verify.indexOf('.SH SEE ALSO'));
    expect(status).toContain('0 valid, 1 invalid');
    expect(status).not.toContain('misconfigured');
    expect(verify).toContain('.SH NOTES');
    const env = pages.get('dstack-util-env.1') ?? '';
    expect(env).toMatch(/^\.nf\ncurl /m); // a line to type stays a line
    expect(env).toContain('misconfigured');
    expect(env).toContain('.PP\nEach failure prints one stable code');
  });

  it('print text as it is: hyphens, backslashes, and a line that begins like a request', () => {
    expect(text('a-b \\ c')).toBe('a\\-b \\e c');
    expect(text('.so /etc/passwd')).toBe('\\&.so /etc/passwd');
    expect(text("'quoted'")).toBe("\\&'quoted'");
    expect(text('app’s 🔑')).toBe('app\\[u2019]s \\[u1F511]');
  });

  it.skipIf(!hasGroff)('are accepted by groff without a warning', { timeout: 90_000 }, async () => {
    for (const [name, page] of manPages(await cliTree(COMMANDS), OPTIONS)) {
      if (page.startsWith('.so ')) continue;
      const done = spawnSync('groff', ['-man', '-ww', '-z'], { input: page, encoding: 'utf8' });
      expect(done.stderr, name).toBe('');
    }
  });
});
