import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ConsoleLog } from '../../initramfs/vm/console.ts';
import { startPastEarlyAbort } from '../../initramfs/vm/early-abort.ts';
import type { Ended } from '../../initramfs/vm/process.ts';

const console = () => new ConsoleLog(join(mkdtempSync(join(tmpdir(), 'abort-')), 'console.log'));
const aborted: Ended = { exit: null, signal: 'SIGABRT' };

/** Starts that end as told; `undefined` stays up and prints the words of the initramfs. */
function starts(log: ConsoleLog, ends: readonly (Ended | undefined)[]) {
  const made: number[] = [];
  const start = () => {
    const number = made.length;
    made.push(number);
    const ended = ends[number];
    if (ended === undefined) setTimeout(() => log.append(Buffer.from('[ 1.0] dstack-init: root image verified\n')), 5);
    return { number, exited: ended === undefined ? new Promise<Ended>(() => {}) : Promise.resolve(ended) };
  };
  return { made, start };
}

it('repeats a start that aborted before the guest ran', async () => {
  const log = console();
  const { made, start } = starts(log, [aborted, undefined]);
  expect((await startPastEarlyAbort(start, log)).number).toBe(1);
  expect(made).toHaveLength(2);
  expect(log.text).toContain('start 2 of 3');
});

it('gives up after three', async () => {
  const log = console();
  const { made, start } = starts(log, [aborted, aborted, aborted, undefined]);
  expect(await (await startPastEarlyAbort(start, log)).exited).toBe(aborted);
  expect(made).toHaveLength(3);
});

it('hands on every other end: a kernel panic or a wrong command line is not repeated', async () => {
  for (const ended of [
    { exit: 0, signal: null },
    { exit: 1, signal: null },
    { exit: null, signal: 'SIGKILL' as const },
  ]) {
    const log = console();
    const { made, start } = starts(log, [ended, undefined]);
    expect((await startPastEarlyAbort(start, log)).number).toBe(0);
    expect(made).toHaveLength(1);
  }
});

it('does not wait for ever for a guest that says nothing', async () => {
  const log = console();
  const start = () => ({ exited: new Promise<Ended>(() => {}) });
  await startPastEarlyAbort(start, log, 20);
});
