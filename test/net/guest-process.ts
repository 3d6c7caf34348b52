/**
 * A guest's side of the gateway as a process of its own, so that it can be put into a network namespace: the real code with
 * the real programs, files in a folder, and evidence of no TD. Arguments: folder, `refresh` | `force` | `check`.
 */

import { errorChain, toDstackError } from '../../src/errors.ts';
import { type NetMachine, realNetMachine, refreshGateway } from '../../src/net/gateway.ts';
import { runChecker } from '../../src/net/gateway-checker.ts';
import { certifyWith } from '../../src/net/gateway-identity.ts';
import { bareQuote } from '../boot/fake-boot-machine.ts';

const [dir = '', what = ''] = process.argv.slice(2);
const payload = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));

const machine: NetMachine = {
  ...realNetMachine(),
  certify: ({ keys }) =>
    certifyWith(keys, async (reportData) => ({
      platform: { kind: 'tdx', quote: bareQuote(reportData), eventLog: [] },
      reportData,
      runtimeEvents: [
        { event: 'app-id', payload: payload('11'.repeat(20)), version: 1 },
        { event: 'instance-id', payload: payload('22'.repeat(20)), version: 1 },
      ],
      config: '{}',
    })),
  cacheFile: `${dir}/run/cache.json`,
  wireGuardFile: `${dir}/wireguard/dstack-wg0.conf`,
  recordFile: `${dir}/log/gateway.json`,
};

const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);

if (what === 'check') {
  const started = performance.now();
  await runChecker({
    workDir: dir,
    machine,
    notify: async () => {},
    clock: () => performance.now() / 1000,
    sleep: (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000)),
    random: Math.random,
    signal: new AbortController().signal,
    refresh: async (force) => {
      const outcome = await refreshGateway({ workDir: dir, force }, machine);
      say({ force, outcome, seconds: Math.round((performance.now() - started) / 1000) });
      return outcome;
    },
  });
} else {
  try {
    say({ outcome: await refreshGateway({ workDir: dir, force: what === 'force' }, machine) });
  } catch (thrown) {
    say({ code: toDstackError(thrown).code, chain: errorChain(thrown) });
  }
}
