/** `eventlog`: the complete event log as a pretty JSON array without a trailing newline. */
import type { Command } from 'commander';
import { realTdxMachine } from '../tdx/tdx-machine.ts';
import * as ui from '../ui.ts';

export default function define(command: Command): void {
  command.option('--json', 'accepted, without effect: the output is always JSON').action(async () => {
    const { readEventLog } = await import('../tdx/take-evidence.ts');
    const { fullLogJson } = await import('../tdx/log-json.ts');
    await ui.output(ui.json(fullLogJson(await readEventLog(realTdxMachine))));
  });
}
