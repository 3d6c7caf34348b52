/** `show`: the identity of this app, derived from a fresh quote, as pretty JSON. */
import type { Command } from 'commander';
import * as ui from '../ui.ts';

export default function define(command: Command): void {
  command.option('--json', 'accepted for symmetry: the output is JSON anyway').action(async () => {
    const { takeAttestation } = await import('../tdx/evidence.ts');
    const { appInfoJson, decodeAppInfo } = await import('../tdx/identity.ts');
    const attestation = await takeAttestation(new Uint8Array(64));
    ui.result(appInfoJson(decodeAppInfo(attestation)), { json: true, text: () => '' });
  });
}
