/** `show`: the identity of this app, derived from fresh evidence of this guest, as pretty JSON. */
import type { Command } from 'commander';
import { realTdxMachine } from '../tdx/tdx-machine.ts';
import * as ui from '../ui.ts';

export default function define(command: Command): void {
  command.option('--json', 'accepted, without effect: the output is always JSON').action(async () => {
    const { ownEvidence } = await import('../tdx/report-identity.ts');
    const { appInfoJson, decodeAppInfo } = await import('../tdx/app-identity.ts');
    ui.result(appInfoJson(decodeAppInfo(await ownEvidence(realTdxMachine))), {
      json: true,
      foreign: true,
      text: () => '',
    });
  });
}
