import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ConsoleLog } from '../../initramfs/vm/console.ts';

it('joins chunks into lines, drops control sequences, keeps streams apart and stamps every line', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'console-'));
  const file = join(dir, 'console.log');
  const log = new ConsoleLog(file);
  const seen: string[] = [];
  log.watch((line) => seen.push(line));
  const feed = (text: string, source?: 'qemu') => log.append(Buffer.from(text), source);
  feed('[\u001b[0;32m  OK  \u001b[0m] Star');
  feed('warning: x\n', 'qemu');
  feed('ted\r\nla');
  const letter = Buffer.from('ß'); // a character may arrive in two pieces
  log.append(letter.subarray(0, 1));
  log.append(letter.subarray(1));
  await log.close();
  expect(seen).toEqual(['qemu: warning: x', '[  OK  ] Started', 'laß']);
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  expect(lines).toHaveLength(3);
  for (const line of lines) expect(line).toMatch(/^ *\d+\.\d\d /);
  expect(log.tail(1)[0]).toMatch(/ laß$/);
  rmSync(dir, { recursive: true });
});
