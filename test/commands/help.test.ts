import { expect, it } from 'vitest';
import { overview } from '../../src/commands/help.ts';
import { declare } from '../../src/commands/main.ts';
import { COMMANDS } from '../../src/commands/table.ts';

it.each([40, 60, 80, 81, 100, 132, 200])(
  'the quick overview is what commander prints, %i columns wide',
  async (width) => {
    const program = await declare(undefined);
    let text = '';
    program.configureOutput({
      writeOut: (part) => {
        text += part;
      },
      getOutHelpWidth: () => width,
    });
    program.outputHelp();
    expect(overview(COMMANDS, width)).toBe(text);
  },
);
