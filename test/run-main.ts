/** The real main inside the test process. */
import { vi } from 'vitest';
import { main } from '../src/commands/main.ts';

/** Runs a command line; collects what it writes and its exit status. */
export async function run(...args: string[]): Promise<{ stdout: string; stderr: string; exit: number }> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  const sink = (chunks: Buffer[]) => (data: string | Uint8Array, done?: unknown) => {
    chunks.push(Buffer.from(data as string));
    if (typeof done === 'function') done();
    return true;
  };
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation(sink(out) as never),
    vi.spyOn(process.stderr, 'write').mockImplementation(sink(err) as never),
  ];
  const before = process.exitCode;
  process.exitCode = 0;
  try {
    await main(args);
    return {
      stdout: Buffer.concat(out).toString('latin1'),
      stderr: Buffer.concat(err).toString(),
      exit: Number(process.exitCode),
    };
  } finally {
    process.exitCode = before;
    for (const spy of spies) spy.mockRestore();
  }
}
