import { describe, expect, it, vi } from 'vitest';
import type { BootMachine } from '../../src/boot/boot-machine.ts';
import { waitForSecureTime, whatIsMissing } from '../../src/boot/prepare/clock.ts';
import { DstackError } from '../../src/errors.ts';
import * as ui from '../../src/ui.ts';

/** chronyc with these answers, one a try; the last one stays. Texts are those of the real program. */
function chrony(...answers: { exit: number; stdout?: string; stderr?: string }[]) {
  const ran: string[] = [];
  const machine: BootMachine = {
    root: '',
    mountAt: async () => undefined,
    bindMount: () => Promise.reject(new Error('nothing is mounted here')),
    run: async (program, args) => {
      ran.push([program, ...args].join(' '));
      const { exit, stdout = '', stderr = '' } = answers[Math.min(ran.length, answers.length) - 1]!;
      return { exit, stdout, stderr };
    },
  };
  return { machine, ran };
}
const line = (refid: string, correction: string) => `try: 1, refid: ${refid}, correction: ${correction}, skew: 0.000\n`;
const NONE = { exit: 1, stdout: line('00000000', '0.000000000') };
const OFF = { exit: 1, stdout: line('C0000201', '12.500000000') };
const DEAD = { exit: 1, stderr: 'Could not open connection to daemon\n' };

describe('secure time', () => {
  it('is there at once when the clock is synchronised', async () => {
    const { machine, ran } = chrony({ exit: 0 });
    await waitForSecureTime(machine);
    expect(ran[0]).toBe('chronyc waitsync 1 0.1 0 0');
  });

  it('says what it waits for, once for each reason', async () => {
    const said = vi.spyOn(ui, 'info').mockImplementation(() => {});
    const { machine } = chrony(DEAD, NONE, NONE, OFF, { exit: 0 });
    await waitForSecureTime(machine, { intervalMs: 1 });
    expect(said.mock.calls.map(([text]) => text)).toEqual([
      'secure time: waiting for chronyd (Could not open connection to daemon)',
      'secure time: waiting for a time source: none has answered chronyd yet',
      'secure time: waiting for the clock to come within 0.1 s: it is off by 12.500000000 s',
    ]);
    said.mockRestore();
  });

  it('gives up after its tries with the last reason', async () => {
    const { machine, ran } = chrony(NONE);
    await expect(waitForSecureTime(machine, { intervalMs: 1, tries: 4 })).rejects.toMatchObject({
      code: 'TIME_UNSYNCED',
      cause: 'waiting for a time source: none has answered chronyd yet',
    });
    expect(ran).toHaveLength(4);
  });

  it('takes a chronyd that hangs for one that does not answer', async () => {
    const { machine } = chrony(NONE);
    const hanging = async () => {
      throw new DstackError('COMMAND_TIMEOUT', 'too slow');
    };
    await expect(waitForSecureTime({ ...machine, run: hanging }, { intervalMs: 1, tries: 2 })).rejects.toMatchObject({
      code: 'TIME_UNSYNCED',
    });
  });

  it('does not show a flood of foreign text', () => {
    expect(whatIsMissing('', 'x'.repeat(1000)).length).toBeLessThan(250);
  });
});
