import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Guest, waitForEvent } from '../../initramfs/vm/boot-events.ts';
import { ConsoleLog } from '../../initramfs/vm/console.ts';
import type { Ended } from '../../initramfs/vm/process.ts';
import { HostApi } from '../../simulator/host-api.ts';

const dir = mkdtempSync(join(tmpdir(), 'events-'));
let guest: Guest;
let end: (ended: Ended) => void;
beforeEach(() => {
  vi.useFakeTimers();
  const exited = new Promise<Ended>((resolve) => {
    end = resolve;
  });
  guest = { hostApi: new HostApi(), console: new ConsoleLog(join(dir, 'log')), exited };
});
afterEach(async () => {
  vi.useRealTimers();
  await guest.console.close();
  rmSync(dir, { recursive: true, force: true });
});
const wait = (event: string, payload?: string | RegExp) =>
  waitForEvent(guest, payload === undefined ? { event } : { event, payload }, 60_000);

describe('waitForEvent', () => {
  it('finds a past and a future event, by text or by pattern', async () => {
    guest.hostApi.notify('boot.progress', 'pre-launch');
    expect((await wait('boot.progress', 'pre-launch')).sequence).toBe(1);
    const later = wait('boot.progress', /^do/);
    guest.hostApi.notify('boot.progress', 'starting containers');
    guest.hostApi.notify('boot.progress', 'done');
    expect((await later).payload).toBe('done');
  });

  it('ends with the boot.error that came instead, unless that was waited for', async () => {
    const failed = expect(wait('boot.progress', 'done')).rejects.toThrow('boot.error: no disk');
    guest.hostApi.notify('boot.error', 'no disk');
    await failed;
    expect((await wait('boot.error')).payload).toBe('no disk');
  });

  it('finds the shutdown of a guest whose boot failed', async () => {
    guest.hostApi.notify('boot.error', 'no docker');
    const past = wait('shutdown.progress');
    guest.console.append(Buffer.from('[FAILED] Failed to start app-compose.service - The application.\n'));
    await vi.advanceTimersByTimeAsync(5000);
    guest.hostApi.notify('shutdown.progress', 'powering off');
    expect((await past).payload).toBe('powering off');
    expect((await wait('shutdown.progress', 'powering off')).sequence).toBe(2);
  });

  it('ends with the VM', async () => {
    const failed = expect(wait('boot.progress', 'done')).rejects.toThrow(/VM ended first \(SIGKILL\)/);
    end({ exit: null, signal: 'SIGKILL' });
    await failed;
  });

  it('ends when a unit of the boot failed, after giving its reason time to arrive', async () => {
    const line = Buffer.from('[FAILED] Failed to start app-compose.service - The application.\n');
    const failed = expect(wait('boot.progress', 'done')).rejects.toThrow(/Failed to start app-compose/);
    guest.console.append(Buffer.from('[FAILED] Failed to start other.service - Something else.\n'));
    guest.console.append(line);
    await vi.advanceTimersByTimeAsync(5000);
    await failed;
    const reason = expect(wait('boot.progress', 'done')).rejects.toThrow('boot.error: why');
    guest.console.append(line);
    guest.hostApi.notify('boot.error', 'why');
    await reason;
  });

  it('ends at its limit and names what it waited for', async () => {
    const failed = expect(wait('boot.progress', 'done')).rejects.toThrow(
      'event boot.progress done: nothing within 60 s',
    );
    await vi.advanceTimersByTimeAsync(60_000);
    await failed;
  });
});
