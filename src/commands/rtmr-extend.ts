/** `rtmr-extend` (`extend`): measures one runtime event into RTMR3 and logs it. */
import type { Command } from 'commander';
import { fromHex, toHex } from '../codec/hex.ts';
import { realTdxMachine } from '../tdx/tdx-machine.ts';
import * as ui from '../ui.ts';

export default function define(command: Command): void {
  command
    .requiredOption('-e, --event <name>', 'name of the event')
    .requiredOption('-p, --payload <hex>', 'payload as hex digits, may be empty')
    .option('--json', 'print what was measured as JSON')
    .addHelpText('after', '\nNeeds a completed system setup in this boot. Applications see the event in the event log.')
    .action(async (options: { event: string; payload: string; json?: boolean }) => {
      const payload = fromHex(options.payload, { field: '--payload', prefix: true });
      const { emitEvent } = await import('../tdx/event-log.ts');
      const { event, digest, version } = await emitEvent(options.event, payload, realTdxMachine);
      if (options.json) {
        ui.result(
          { event, payload: toHex(payload), eventVersion: version, digest: toHex(digest) },
          { json: true, text: () => '' },
        );
      } else {
        ui.info(`measured event ${event} into RTMR3, digest ${toHex(digest)}`);
      }
    });
}
