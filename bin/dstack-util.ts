/** Entry of the product binary. Also answers to the name dstack-guest-agent (= `serve`), so existing units can point at it. */
import { basename } from 'node:path';
import { guardStdout } from '../src/stdout.ts';
import { VERSION_TEXT } from '../src/version.ts';

// argv[0] of a compiled binary is fixed by the runtime; the name we were started under is in process.argv0
const calledAs = basename(process.argv0);
const args = process.argv.slice(2);
guardStdout();

if (args.length === 1 && (args[0] === '--version' || args[0] === '-V')) {
  process.stdout.write(`${VERSION_TEXT}\n`);
} else if (args.length === 1 && (args[0] === '--help' || args[0] === '-h') && calledAs !== 'dstack-guest-agent') {
  const { overview } = await import('../src/commands/help.ts');
  const { COMMANDS } = await import('../src/commands/table.ts');
  process.stdout.write(overview(COMMANDS, process.stdout.isTTY ? process.stdout.columns : undefined));
} else {
  // loaded only now: the version is asked for by scripts in loops
  const { main } = await import('../src/commands/main.ts');
  await main(calledAs === 'dstack-guest-agent' ? ['serve', ...args] : args);
}
