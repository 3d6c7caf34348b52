/** Many processes measure at once, with the real flock(2) and a register that is a file: extended on write, like the kernel's. */

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readRuntimeEvents, setEventVersion } from '../../src/tdx/event-log.ts';
import { replayRuntime } from '../../src/tdx/replay.ts';
import { realTdxMachine } from '../../src/tdx/tdx-machine.ts';

const PROCESSES = 20;
const EVENTS = 50;

const source = (root: string) => `
  import { readFileSync, writeFileSync } from 'node:fs';
  import { emitEvent } from ${JSON.stringify(join(process.cwd(), 'src/tdx/event-log.ts'))};
  import { extend } from ${JSON.stringify(join(process.cwd(), 'src/tdx/events.ts'))};
  const root = ${JSON.stringify(root)};
  const register = root + '/rtmr3';
  const files = {
    isDirectory: async (path) => path.endsWith('/measurements'),
    read: async () => new Uint8Array(readFileSync(register)),
    write: async (_path, digest) => writeFileSync(register, extend(new Uint8Array(readFileSync(register)), digest)),
  };
  const name = process.argv[2];
  for (let index = 0; index < ${EVENTS}; index++) {
    await emitEvent(name + '-' + index, Uint8Array.of(index), { root, files, dir: root + '/log' });
  }`;

it.runIf('Bun' in globalThis)('leaves a log that replays to the register', { timeout: 120_000 }, async () => {
  const root = mkdtempSync(join(tmpdir(), 'emitters-'));
  try {
    mkdirSync(join(root, 'dev'));
    writeFileSync(join(root, 'dev/tdx_guest'), '');
    writeFileSync(join(root, 'rtmr3'), new Uint8Array(48));
    await setEventVersion(2, { ...realTdxMachine, dir: join(root, 'log') });
    const script = join(root, 'emitter.ts');
    writeFileSync(script, source(root));
    const exits = await Promise.all(
      Array.from(
        { length: PROCESSES },
        (_, p) =>
          new Promise<number | null>((resolve) => {
            spawn(process.execPath, [script, `p${p}`], { stdio: 'inherit' }).on('exit', resolve);
          }),
      ),
    );
    expect(exits).toEqual(Array(PROCESSES).fill(0));
    const events = await readRuntimeEvents({ ...realTdxMachine, dir: join(root, 'log') });
    expect(events).toHaveLength(PROCESSES * EVENTS);
    expect(new Uint8Array(readFileSync(join(root, 'rtmr3')))).toEqual(replayRuntime(events));
    for (let p = 0; p < PROCESSES; p++) {
      const own = events.map(({ event }) => event).filter((event) => event.startsWith(`p${p}-`));
      expect(own).toEqual(Array.from({ length: EVENTS }, (_, index) => `p${p}-${index}`));
    }
  } finally {
    rmSync(root, { recursive: true });
  }
});
