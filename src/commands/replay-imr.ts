/** `replay-imr`: replays the event log into the four registers it must have produced. */
import type { Command } from 'commander';
import { toHex } from '../codec/hex.ts';
import { realTdxMachine } from '../tdx/tdx-machine.ts';
import * as ui from '../ui.ts';

const REGISTERS = [0, 1, 2, 3] as const;

export default function define(command: Command): void {
  command.option('--json', 'print JSON instead of text').action(async (options: { json?: boolean }) => {
    const { readEventLog } = await import('../tdx/take-evidence.ts');
    const { replay } = await import('../tdx/replay.ts');
    const { isMeasured } = await import('../tdx/tdx-event.ts');
    const events = await readEventLog(realTdxMachine);
    const measured = events.filter(isMeasured);
    const registers = REGISTERS.map((imr) => ({
      imr,
      events: measured.filter((event) => event.imr === imr).length,
      value: toHex(replay(events, imr)),
    }));
    const informing = events.length - measured.length;
    ui.result(
      { total_events: events.length, registers },
      {
        json: options.json,
        text: () =>
          [
            'Replay of the event log into the measurement registers',
            '',
            `Total events: ${events.length}`,
            ...registers.map(({ imr, events: count }) => `  IMR ${imr}: ${count} events`),
            ...(informing > 0 ? [`  not measured: ${informing} that only inform (EV_NO_ACTION)`] : []),
            '',
            ...registers.map(({ imr, value }) => `IMR ${imr} (CCEL) → ${value}`),
            '',
            'IMR 0 to 3 are RTMR0 to RTMR3. Boot events come from the firmware (CCEL), IMR 3 holds the runtime events;',
            'compare the values with those in a quote of this guest.',
          ].join('\n'),
      },
    );
  });
}
