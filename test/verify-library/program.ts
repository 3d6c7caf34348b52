/** `bun program.ts ANSWERS < arguments.json`: the program itself once for each list of arguments, in one process; what it printed. */
import { readFileSync, writeFileSync } from 'node:fs';
import { main } from '../../src/commands/main.ts';

const lists = JSON.parse(readFileSync(0, 'utf8')) as string[][];
const answers: string[] = [];
for (const args of lists) {
  let printed = '';
  process.stdout.write = (chunk: Uint8Array | string) => {
    printed += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8');
    return true;
  };
  await main(args);
  answers.push(printed);
}
process.exitCode = 0;
writeFileSync(process.argv[2] ?? '', JSON.stringify(answers));
