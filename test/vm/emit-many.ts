/** Runs in the guest, many processes at once: measures events one after the other. Arguments: name of the process, how many. */
import { emitEvent } from '../../src/tdx/event-log.ts';
import { realTdxMachine } from '../../src/tdx/tdx-machine.ts';

const [name = '', count = '0'] = process.argv.slice(2);
for (let index = 0; index < Number(count); index++) {
  await emitEvent(`many-${name}-${index}`, Uint8Array.of(index), realTdxMachine);
}
